"""The writer of evidence, as far as a machine without a GPU can try it, and what the documents claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import gpu_evidence
from benchmarks.planted import planted_graph
from cellstrata.tasks.kernels.engines import load_engine
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.kernels.knn import method_for
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index
from tests import ROOT
from tests.real_gpu import pytest_runtest_setup


def test_without_a_gpu_nothing_is_written(monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setattr(gpu_evidence, "gpu_status", lambda: GpuStatus("cupy is not installed"))
    assert gpu_evidence.main(["--out", str(tmp_path)]) == 1
    assert "no GPU, so no evidence: cupy is not installed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_planted_graphs() -> None:
    graph, truth = planted_graph(3000, 6)
    assert graph.n_vertices == len(truth) == 3000
    assert (graph.edges[:, 0] < graph.edges[:, 1]).all()
    assert len(np.unique(graph.edges, axis=0)) == len(graph.edges)
    assert graph.weights.min() > 0
    same = truth[graph.edges[:, 0]] == truth[graph.edges[:, 1]]
    assert 0.88 < same.mean() < 0.95
    assert np.bincount(truth).tolist() == [500] * 6


def test_two_engines_are_compared() -> None:
    engines = load_engine("leidenalg"), load_engine("igraph")  # neither is a GPU's: the numbers are what is tested
    found = gpu_evidence.compared(2000, *engines, (0.5, 1.0), 2)
    assert (found["vertices"], set(found["resolutions"])) == (2000, {"0.5", "1.0"})
    entry = found["resolutions"]["1.0"]
    assert entry["guard"] is None
    assert entry["least_ari_of_repeats"] == 1.0
    for name in ("leidenalg", "igraph"):
        assert entry[name]["ari_to_planted"] > 0.95
    assert entry["ari_between"] > 0.9
    assert adjusted_rand_index(np.arange(4), np.arange(4)) == 1.0


def test_neighbors_are_compared() -> None:
    found = gpu_evidence.neighbors_compared(500, "a search that is not here")
    assert found["shared_with_cpu"] == 1.0  # the CPU did both, and it says so
    assert found["method"]["gpu"].startswith(f"{method_for(500)} instead of a search that is not here")
    assert found["recall"] == {"gpu": 1.0, "cpu": 1.0}
    assert found["edges"]["gpu"] == found["edges"]["cpu"]


def test_ensembles_are_compared() -> None:
    found = gpu_evidence.ensembles_compared(1000, load_engine("leidenalg"), load_engine("igraph"))
    for name in ("leidenalg", "igraph"):
        assert found[name]["quality"]["joined"] >= found[name]["quality"]["best_run"]
        assert 0 < found[name]["agreement"] <= 1


def test_counts_of_a_report() -> None:
    text = '<testsuites><testsuite tests="9" failures="1" errors="2" skipped="3"/></testsuites>'
    assert gpu_evidence.counts(ElementTree.fromstring(text)) == {"passed": 3, "failed": 3, "skipped": 3}


def test_required_gpu_turns_skips_into_failures(request: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("tests.real_gpu.gpu_status", lambda: GpuStatus("cupy is not installed"))
    pytest_runtest_setup(request.node)  # not marked: it runs
    request.node.add_marker("gpu")
    for required, outcome in (("0", pytest.skip.Exception), ("", pytest.skip.Exception), ("1", pytest.fail.Exception)):
        monkeypatch.setenv("REQUIRE_GPU", required)
        with pytest.raises(outcome, match="no GPU: cupy is not installed"):
            pytest_runtest_setup(request.node)
    monkeypatch.setattr("tests.real_gpu.gpu_status", lambda: GpuStatus("", "A100"))
    pytest_runtest_setup(request.node)


def test_documents_claim_no_more_than_there_is_evidence_for() -> None:
    files = sorted((ROOT / "docs" / "verification").glob("gpu-*.json"))  # what gpu_evidence.py names so
    says_not = "has not yet run on hardware" in " ".join((ROOT / "README.md").read_text().split())
    assert says_not == (not files)
    for path in files:
        found = json.loads(path.read_text())
        assert found["status"]["device"]
        assert found["status"]["version"]
        assert found["tests"]["passed"]
        assert not found["tests"]["failed"]
        assert all("is not installed" in reason or "tells no" in reason for reason in found["tests"]["reasons"])
        assert not found["changed_since"]

"""The wrappers for Snakemake and Nextflow: what they call is there, and does what a rule asks."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import pytest
import yaml

from tests import ROOT

SNAKEMAKE, NEXTFLOW = ROOT / "deployments" / "snakemake", ROOT / "deployments" / "nextflow"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("CELLSTRATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def rule(name: str, inputs: list[str], outputs: list[str], **params: Any) -> None:
    """Run a wrapper as Snakemake does: as a script that finds `snakemake`."""
    asked = SimpleNamespace(input=inputs, output=outputs, params=params, threads=1, log=["rule.log"])
    runpy.run_path(str(SNAKEMAKE / "cellstrata" / name / "wrapper.py"), {"snakemake": asked})


@pytest.mark.processes
def test_rules_of_levels_in_snakemake(planted_file: Path) -> None:
    how = {"neighbors_args": {"use_rep": "X_pca", "n_neighbors": 15}, "resolution": 0.5}
    rule("cluster", [str(planted_file)], ["level1.zarr"], **how)
    rule("cluster", ["level1.zarr"], ["level2.zarr"], level=2, **how)
    assert list(anndata.read_zarr("level2.zarr").obs) == ["leiden_0.5_2"]
    with pytest.raises(ValueError, match=r"params: resolutions: there is resolution, "):
        rule("cluster", [str(planted_file)], ["other.zarr"], resolutions=[0.5])
    with pytest.raises(subprocess.CalledProcessError):
        rule("cluster", ["nowhere.h5ad"], ["other.zarr"])
    assert "nowhere.h5ad" in Path("rule.log").read_text()
    assert not Path("other.zarr").exists()


def test_a_configuration_as_a_rule_calls_run(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run(command: list[str], **_: Any) -> None:
        called.append(command)
        Path("out.zarr").mkdir()

    monkeypatch.setattr(subprocess, "run", run)
    rule("run", ["config.yaml", "cells.h5ad"], ["out.zarr"], output_dir="out", refresh=True)
    assert called == [
        ["cellstrata", "run", "config.yaml", "--quiet", "--workers", "1", "--output_dir", "out", "--refresh", "true"]
    ]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    with pytest.raises(FileNotFoundError, match=r"absent.zarr: the run wrote no such result"):
        rule("run", ["config.yaml"], ["absent.zarr"])


def options_of(command: str) -> set[str]:
    """The options that a command's help names."""
    run = subprocess.run(["cellstrata", command, "--help"], capture_output=True, text=True, check=True, timeout=60)
    return set(re.findall(r"--[a-z_]+", run.stdout))


@pytest.mark.parametrize("command", ["cluster", "collect", "run", "materialize"])
def test_the_options_that_nextflow_gives_are_there(command: str) -> None:
    scripts = "\n".join(path.read_text() for path in NEXTFLOW.rglob("main.nf"))
    calls = re.findall(rf"cellstrata {command}\b((?:[^\n]*\\\\\n)*[^\n]*)", scripts)
    assert calls
    given = {option for call in calls for option in re.findall(r"--[a-z_]+", call)}
    keys = {"--link", "--images"} if command == "run" else set()  # of a configuration, which its help does not list
    assert given <= options_of(command) | keys


def test_what_the_modules_say_of_themselves_can_be_read() -> None:
    described = sorted(NEXTFLOW.rglob("meta.yml"))
    assert [path.parent.name for path in described] == ["cluster", "collect", "run"]
    for path in described:
        process = re.search(r"^process (\w+) \{", (path.parent / "main.nf").read_text(), re.MULTILINE)
        assert process is not None
        assert yaml.safe_load(path.read_text())["name"] == process[1].lower()
    for path in (*NEXTFLOW.rglob("environment.yml"), *SNAKEMAKE.rglob("*.yaml")):
        assert yaml.safe_load(path.read_text())

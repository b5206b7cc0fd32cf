"""A count for each known waste of the ancestor's clustering (its description, section C, 27 to 35).

C32 is gone for `run` (one conversion, shared by later results) and for X, layers and raw in
`cluster`; obsm, obsp and uns of an h5ad are written with each level, since the next one reads them.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.kernels.engine_igraph import to_igraph
from cellstrata.tasks.trees import labels, split
from cellstrata.tasks.trees.jobs import Job
from tests.flows.conftest import Cluster, Run
from tests.tasks.everything import load
from tests.tasks.small import blobs, cache_at, graph_of, grow, plan_for


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """Note the arguments of every call of a function, and call it."""
    real, calls = getattr(module, name), []

    def call(*args: Any, **named: Any) -> Any:
        calls.append(args)
        return real(*args, **named)

    monkeypatch.setattr(module, name, call)
    return calls


def executed(printed: str) -> int:
    found = re.search(r"(\d+) splits computed", printed)
    assert found
    return int(found[1])


def test_c27_the_graph_is_read_once_and_distances_never(one: Run, pbmc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = counted(monkeypatch, elements, "read_obsp")
    embeddings = counted(monkeypatch, elements, "read_obsm")
    matrices = counted(monkeypatch, elements, "read_x")
    one(pbmc, {"resolutions": [0.3, 0.5, 0.8], "hierarchy": 3}, report=False)
    assert [args[1] for args in graphs] == ["connectivities"]
    assert [args[1] for args in embeddings] == ["X_pca"]
    assert matrices == []


def test_c28_the_graph_is_built_once_for_all_resolutions(one: Run, pbmc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellstrata.tasks.kernels import engine_cellstrata

    split.prepared_graph.clear()
    built = counted(monkeypatch, engine_cellstrata, "ordered")
    report = one(pbmc, {"resolutions": [0.31, 0.51, 0.81, 1.01]}, workers=1)
    assert report["splits"]["executed"] == 4
    assert len([n_vertices for n_vertices, *_ in built if n_vertices == 700]) == 1


def test_c29_a_worker_is_sent_row_numbers_and_no_data(tmp_path: Path) -> None:
    cells, _ = blobs([300, 200, 100], d=50)
    cache = cache_at(tmp_path)
    grown = grow(plan_for(cache, cells, 3), cache)
    below = [pending for pending in grown.pending if pending.path]
    jobs = [Job(key="k" * 32, plan=grown.tree.plan, nodes=(pending,), cache=cache) for pending in below]
    assert len(jobs) >= 3
    for job in jobs:
        assert len(pickle.dumps(job)) < 4 * job.n_cells + 4000  # 4 bytes a cell; 200 would be its embedding


def test_c30_the_largest_cluster_goes_first(
    cluster: Cluster, forms: dict[str, Path], one: Run, pbmc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster(forms["zarr"], "l1.zarr")[0] == 0
    from cellstrata.flows.commands import cluster as cluster_command

    jobs = counted(monkeypatch, cluster_command, "run_job")
    assert cluster("l1.zarr", "l2.zarr", "--level", 2)[0] == 0
    sizes = [job.n_cells for (job,) in jobs]
    assert len(sizes) > 5
    assert sizes == sorted(sizes, reverse=True)

    from cellstrata.flows.driver import Driver

    started = counted(monkeypatch, Driver, "_start")
    one(pbmc, {"resolutions": [1.3], "hierarchy": 2}, grain=1)
    sizes = [work.n_cells for _, work, _ in started]
    assert sizes[0] == 700
    assert len(sizes) > 5
    assert sizes[1:] == sorted(sizes[1:], reverse=True)


def test_c31_labels_are_joined_once_a_cluster_not_once_a_cell(
    one: Run, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = counted(monkeypatch, labels, "label_of")
    from cellstrata.tasks.trees import tree

    monkeypatch.setattr(tree, "label_of", labels.label_of)
    report = one(blobs, {"hierarchy": 3, "neighbors": {"use_rep": "X_latent"}})
    clusters = sum(report["clusters"].values())
    assert 0 < len(joined) < 12 * clusters + 50 < 2400


def test_c32_a_second_result_shares_what_the_first_converted(
    one: Run, cluster: Cluster, pbmc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellstrata.tasks.publishing import input_elements as untouched

    converted = counted(monkeypatch, untouched, "copy_element")
    first = one(pbmc, {"resolutions": [0.5]})
    whole = len(converted)
    converted.clear()
    second = one(pbmc, {"resolutions": [0.5, 0.7]})
    assert first["output"] == second["output"]
    assert second["written"]
    assert len(converted) * 5 < whole
    converted.clear()
    assert cluster(pbmc, "l1.zarr")[0] == 0
    slots = {(parent.path or name).split("/")[0] for _, parent, name in converted}
    assert {"obsm", "uns"} <= slots <= {"obs", "obsm", "obsp", "uns", "var"}


def test_c33_resolutions_share_the_graph_of_a_cluster(
    cluster: Cluster, forms: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster(forms["zarr"], "l1.zarr")[0] == 0
    monkeypatch.setattr(split, "KEPT_GRAPH", 0)  # these clusters are small
    searched = counted(monkeypatch, split, "neighbors_by")
    for number, resolution in enumerate((0.3, 0.6, 0.9)):
        code, printed = cluster("l1.zarr", f"{number}.zarr", "--level", 2, "--resolution", resolution)
        assert code == 0
        assert executed(printed) == 9
        assert len(searched) == 9  # one for each cluster, by the first resolution


def test_c34_another_resolution_of_one_level_leaves_the_others(one: Run, pbmc: Path) -> None:
    first = one(pbmc, {"hierarchy": {"levels": {2: 0.5, 3: 0.5}}})
    changed = one(pbmc, {"hierarchy": {"levels": {2: 0.5, 3: 0.9}}}, "changed")
    tree = load(first["output"]).uns["clustering"]["tree"]
    level3 = tree[(tree["level"] == 2) & (tree["n_neighbors"] > 0)]
    assert changed["splits"]["executed"] <= len(level3)
    assert changed["splits"]["cached"] >= len(tree[(tree["level"] == 1) & (tree["n_neighbors"] > 0)]) + 1
    chosen = one(pbmc, {"hierarchy": {"levels": {2: 0.5, 3: 0.5}, "clusters": {"2": 0.9}}}, "one")
    below = tree[tree["cluster"].str.match("2(_|$)") & (tree["n_neighbors"] > 0)]
    assert chosen["splits"]["executed"] <= len(below) + 3


def test_c35_each_edge_is_listed_once() -> None:
    cells, _ = blobs([50, 50])
    graph = graph_of(cells)
    assert to_igraph(graph).graph.ecount() == len(graph.edges) == graph.to_csr().nnz // 2


def test_a_level_reads_its_own_cells_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes read per level are O(cells), not O(cells × tasks): also of C29."""
    cells, _ = blobs([400, 300, 200, 100], d=20)
    cache = cache_at(tmp_path)
    plan = plan_for(cache, cells, 2)
    read: list[int] = []
    real = split.rows_of

    def reading(*args: Any) -> Any:
        rows = real(*args)
        read.append(rows.nbytes)
        return rows

    monkeypatch.setattr(split, "rows_of", reading)
    grown = grow(plan, cache)
    tried = [pending for pending in grown.pending if pending.path]
    assert sum(read) <= cells.nbytes + sum(pending.n_cells for pending in tried) * cells[0].nbytes
    assert len(tried) == 4

"""Inputs at the edge of what is sensible: each gives the right clusters, or an error that says how to mend it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from tests.flows import planted as p
from tests.flows.conftest import Cluster, Run
from tests.flows.planted import CELLS, GRAPH, LARGE, OF, OPTIONS, SMALL, N, labels, leftovers, write
from tests.tasks.everything import assert_kept, load, save, saved, tree_hash
from tests.tasks.small import same_partition


@dataclass(frozen=True)
class Case:
    """An input that holds the planted clusters in a form of its own, at which levels it is clustered, and
    what a notice says of it."""

    name: str
    form: str = "h5ad"
    change: p.Change | None = None
    edit: p.Edit | None = None
    levels: tuple[int, ...] = (1, 2)
    said: str = ""


def embedding(name: str, form: str, make: Callable[[Any], Any]) -> Case:
    """An embedding of another kind; level 1 has no need of it."""
    return Case(f"{name} embedding", form, p.embedding(make), levels=(2,))


def graph(name: str, form: str, make: Callable[[Any], Any], said: str = "") -> Case:
    """A stored graph of another kind; level 2 has no need of it."""
    return Case(f"{name} graph", form, p.graph(make), levels=(1,), said=said)


LARGER = "obsp['connectivities']: the stored connectivities are not symmetric: the larger weight of each pair is used"
CASES = [
    embedding("csr", "h5ad", sp.csr_matrix),
    embedding("csc", "zarr3", sp.csc_matrix),
    embedding("float64", "zarr2", lambda cells: cells.astype(np.float64)),
    embedding("float16", "h5ad", lambda cells: cells.astype(np.float16)),
    embedding("big-endian", "zarr2", lambda cells: cells.astype(">f8")),
    embedding("frame", "h5ad", lambda cells: pd.DataFrame(cells, columns=list("abc"))),
    Case("embedding of one axis", edit=p.one_axis, levels=(2,)),
    graph("int64 indices and explicit zeros", "h5ad", p.with_zeros),
    graph("dense big-endian", "h5ad", lambda graph: graph.toarray().astype(">f8")),
    graph("half of the", "h5ad", lambda graph: sp.triu(graph).tocsr(), LARGER),
    Case("columns of all kinds, one name", "h5ad", p.many_columns, p.slash_in_a_name, said="obs names occur twice"),
    Case("columns of all kinds, one name", "zarr3", p.many_columns, p.slash_in_a_name, said="obs names occur twice"),
    Case("the index a column too", "h5ad", p.index_is_a_column),
    Case("the index a column too", "zarr2", p.index_is_a_column),
    Case("names that are numbers", "h5ad", edit=p.integer_names),
    Case("names that are numbers", "zarr3", edit=p.integer_names, levels=(1,)),
    Case("unconsolidated", "zarr2", edit=p.unconsolidated),
    Case("unconsolidated", "zarr3", edit=p.unconsolidated),
    Case("consolidated and stale", "zarr2", edit=p.stale),
    Case("consolidated and stale", "zarr3", edit=p.stale),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}, {case.form}")
def test_planted_clusters_are_found(case: Case, cluster: Cluster, tmp_path: Path) -> None:
    source = write(tmp_path, case.form, case.change, case.edit)
    before = tree_hash(source)
    last = source
    for level in case.levels:
        parent = ("--parent_key", "cloud") if last == source and level > 1 else ()
        code, said = cluster(last, f"{level}.zarr", *OPTIONS, "--level", level, *parent)
        assert code == 0, said
        assert ("notice" in said) == bool(case.said)
        assert case.said in said
        last = f"{level}.zarr"
        assert labels(last) == {1: LARGE, 2: SMALL}[level]
    assert tree_hash(source) == before
    assert not leftovers(tmp_path)
    names = [f"leiden_0.1_{case.levels[-1]}"]
    for consolidated in (True, False):
        obs: Any = zarr.open_group(last, mode="r", use_consolidated=consolidated)["obs"]
        assert list(obs.attrs["column-order"]) == names
        assert set(obs.keys()) == {*names, str(obs.attrs["_index"])}
    assert list(load(last).obs_names) == p.names(source)


# few cells, equal cells


def few(n: int, graph: bool = True, x: bool = False) -> ad.AnnData:
    """Return some cells, too few for their 10 neighbours; `x` instead of an embedding."""
    obs = pd.DataFrame(index=[f"c{i}" for i in range(n)])
    adata = ad.AnnData(X=np.ones((n, 3), np.float32), obs=obs) if x else ad.AnnData(obs=obs)
    if not x:
        adata.obsm["X_pca"] = CELLS[:n].copy()
    if graph:
        adata.obsp["connectivities"] = GRAPH[:n, :n].copy()
        adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 10}}
    return adata


@pytest.mark.parametrize(
    ("n", "form", "graph"),
    [(1, "h5ad", False), (1, "zarr2", True), (5, "h5ad", False)],
)
def test_few_cells(n: int, form: str, graph: bool, cluster: Cluster, tmp_path: Path) -> None:
    source = save(few(n, graph), tmp_path, form)
    assert cluster(source, "one.zarr")[0] == 0
    assert cluster("one.zarr", "two.zarr", "--level", "2")[0] == 0
    one, two = labels("one.zarr"), labels("two.zarr")
    assert len(one) == n
    assert two == [f"{label}_0" for label in one]
    assert not graph or same_partition(one, LARGE[:n])
    assert graph or n > 1 or one == ["0"]
    assert graph or n == 1 or same_partition(one, ["0", "1", "1", "0", "0"])  # of three neighbors each


@pytest.mark.parametrize(("form", "graph"), [("h5ad", True), ("zarr3", False)])
def test_no_cells_are_refused(form: str, graph: bool, cluster: Cluster, tmp_path: Path) -> None:
    code, said = cluster(save(few(0, graph), tmp_path, form), "one.zarr")
    assert code == 2
    assert "has no cells" in said
    assert not (tmp_path / "one.zarr").exists()


def test_few_cells_in_a_run_with_a_umap(run: Run, tmp_path: Path) -> None:
    made = {"graph3": few(3), "plain1": few(1, False), "x1": few(1, False, True)}
    files = {name: save(adata, tmp_path, "h5ad", name) for name, adata in made.items()}
    settings = {"algorithm": "leiden", "resolutions": [0.5], "hierarchy": 2, "recompute_umap": True}
    datasets = {"d": {"input": {"clustering": files}, "clustering": settings}}
    reports = run(DATASETS=datasets, output_dir=str(tmp_path / "out"), cache=str(tmp_path / "cache"))["datasets"]
    for name, adata in made.items():
        report = reports[f"d/{name}"]
        assert "error" not in report, report["error"]
        result = load(report["output"])
        assert list(result.obs_names) == list(adata.obs_names)
        assert result.obsm["X_umap"].shape == (adata.n_obs, 2)
        assert np.isfinite(result.obsm["X_umap"]).all()
        table = pd.read_parquet(report["labels"])
        assert list(table.index) == list(adata.obs_names)
        one, two = (list(table[column]) for column in ("leiden_0.5_1", "leiden_0.5_2"))
        assert two == list(result.obs["leiden_0.5_2"]) == [f"{label}_0" for label in one]
        assert len(set(one)) == report["clusters"]["leiden_0.5_1"]
        assert name.startswith("graph") or set(one) == {"0"} or not one


def test_equal_cells_are_one_cluster(cluster: Cluster, tmp_path: Path) -> None:
    for value, metric in ((0, "cosine"), (3, "euclidean")):
        adata = ad.AnnData(obsm={"X_pca": np.full((200, 5), value, np.float32)}, shape=(200, 0))
        arguments = ("--overwrite", "--neighbors_args", f'{{"metric": "{metric}"}}')
        assert cluster(save(adata, tmp_path, "h5ad"), "one.zarr", *arguments)[0] == 0
        assert set(labels("one.zarr")) == {"0"}
        assert cluster("one.zarr", "two.zarr", "--level", "2", *arguments)[0] == 0
        assert set(labels("two.zarr")) == {"0_0"}


def refused(result: tuple[int, str], *words: str) -> None:
    """Check that a call was refused in few lines that hold these words."""
    code, said = result
    assert code == 2, said
    assert said.count("error:") == 1
    assert len(said.splitlines()) <= 10
    assert "Warning" not in said
    assert not [word for word in words if word not in said], said


# graphs


def test_a_graph_without_edges_is_one_cluster(cluster: Cluster, tmp_path: Path) -> None:
    for name, make in {"none": lambda graph: graph * 0, "loops": lambda graph: sp.eye(N, format="csr")}.items():
        (tmp_path / name).mkdir()
        code, said = cluster(write(tmp_path / name, change=p.graph(make)), f"{name}1.zarr", *OPTIONS)
        assert code == 0
        assert "obsp['connectivities']: the graph has no edges, so all cells are one cluster" in said
        assert set(labels(f"{name}1.zarr")) == {"0"}
        assert cluster(f"{name}1.zarr", f"{name}2.zarr", *OPTIONS, "--level", "2")[0] == 0
        assert same_partition(labels(f"{name}2.zarr"), SMALL)


@pytest.mark.parametrize("algorithm", ["leiden", "louvain"])
def test_components_are_never_merged_and_isolated_cells_are_alone(
    algorithm: str, cluster: Cluster, tmp_path: Path
) -> None:
    source = write(tmp_path, change=p.graph(p.without(7)))
    options = ("--resolution", "1e-06", "--algorithm", algorithm)
    assert cluster(source, "one.zarr", *options)[0] == 0
    found = labels("one.zarr")
    assert same_partition(found[7:], LARGE[7:])
    assert found[:7] == [str(number) for number in range(3, 10)]
    assert cluster("one.zarr", "two.zarr", *options, "--level", "2")[0] == 0
    deeper = labels("two.zarr")
    assert deeper[:7] == [f"{number}_0" for number in range(3, 10)]
    assert same_partition(deeper[7:], SMALL[7:])


# columns of obs


ODD = {"0": "T/B ☃", "1": "", "2": "a b_1"}
PARENTS: dict[str, tuple[Any, list[str | None]]] = {
    "001, unused": (pd.Categorical([f"00{c}" for c in LARGE], ["1", "002", "001", "000"]), [f"00{c}" for c in LARGE]),
    "missing": (pd.Categorical([None, *LARGE[1:-2], None, None]), [None, *LARGE[1:-2], None, None]),
    "int8": (np.array(LARGE).astype(np.int8) + 3, [str(int(c) + 3) for c in LARGE]),
    "float and NaN": (np.r_[np.nan, np.array(LARGE[1:], float)], [None, *LARGE[1:]]),
    "nullable bool": (
        pd.array([None, *(c == "2" for c in LARGE[1:])], dtype="boolean"),
        [None, *(str(c == "2") for c in LARGE[1:])],
    ),
    "any text": ([ODD[c] for c in LARGE], [ODD[c] for c in LARGE]),
    "nothing": (np.full(N, np.nan), [None] * N),
}


@pytest.mark.parametrize("kind", PARENTS)
def test_clusters_of_any_column_are_split(kind: str, cluster: Cluster, tmp_path: Path) -> None:
    values, texts = PARENTS[kind]
    source = write(tmp_path, "zarr3", lambda adata: adata.obs.__setitem__("mine", values))
    code, said = cluster(source, "two.zarr", *OPTIONS, "--level", "2", "--parent_key", "mine")
    assert code == 0, said
    found = labels("two.zarr")
    missing = [row for row, text in enumerate(texts) if text is None]
    assert [row for row, label in enumerate(found) if label != label] == missing
    assert (f"notice: {len(missing)} cells have no label in mine, and get none" in said) == bool(missing)
    rows = [row for row, text in enumerate(texts) if text is not None]
    assert [found[row].rpartition("_")[0] for row in rows] == [texts[row] for row in rows]
    assert same_partition([found[row] for row in rows], [SMALL[row] for row in rows])


@pytest.mark.parametrize("values", [np.arange(N) / 2, np.r_[np.inf, np.ones(N - 1)]], ids=["halves", "infinite"])
def test_numbers_that_are_no_clusters_are_refused(values: Any, cluster: Cluster, tmp_path: Path) -> None:
    source = write(tmp_path, change=lambda adata: adata.obs.__setitem__("mine", values))
    result = cluster(source, "two.zarr", "--level", "2", "--parent_key", "mine")
    refused(result, source, "obs['mine']", "not whole", "--parent_key")
    assert not Path("two.zarr").exists()


def test_a_column_called_like_ours_is_kept_or_overwritten(cluster: Cluster, tmp_path: Path) -> None:
    theirs = ["7" if cloud > 3 else "x" for cloud in OF]
    source = write(tmp_path, "zarr3", lambda adata: adata.obs.insert(0, "leiden_0.1_1", pd.Categorical(theirs)))
    code, said = cluster(source, "kept.zarr", *OPTIONS)
    assert code == 0
    assert f"leiden_0.1_1 is in {source} already, and is kept as it is; --overwrite computes it anew" in said
    assert labels("kept.zarr") == theirs
    assert cluster("kept.zarr", "below.zarr", *OPTIONS, "--level", "2")[0] == 0
    assert {label.rpartition("_")[0] for label in labels("below.zarr")} == {"7", "x"}
    assert cluster(source, "anew.zarr", *OPTIONS, "--overwrite")[0] == 0
    assert labels("anew.zarr") == LARGE


def test_a_run_keeps_or_overwrites_a_column_in_its_place(one: Run, tmp_path: Path) -> None:
    theirs = [None, *("007" if cloud > 3 else "x" for cloud in OF[1:])]
    source = write(tmp_path, "zarr2", lambda adata: adata.obs.insert(0, "leiden_0.1_1", pd.Categorical(theirs)))
    before, digest = load(source), tree_hash(source)
    settings = {"resolutions": [0.1], "hierarchy": 2}
    report = one(Path(source), settings)
    result = load(report["output"])
    assert list(result.obs) == ["leiden_0.1_1", "cloud", "leiden_0.1_2"]
    assert [list(result.obs[name]) for name in report["columns"]] == [LARGE, SMALL]
    report = one(Path(source), settings | {"overwrite": False})
    result = load(report["output"])
    assert report["columns"] == ["leiden_0.1_2"]
    assert any("1 cells have no label in leiden_0.1_1" in notice for notice in report["notices"])
    assert_kept(before, result, {"obs": ["leiden_0.1_2"], "uns": ["clustering"]})
    found = result.obs["leiden_0.1_2"]
    assert list(found.str.rpartition("_")[0][1:]) == theirs[1:]
    assert same_partition(found[1:], [f"{theirs[row]} {SMALL[row]}" for row in range(1, N)])
    assert found.isna().sum() == 1
    assert tree_hash(source) == digest


@pytest.mark.parametrize("level", [1, 2])
def test_a_column_cannot_stand_where_obs_has_its_index(level: int, cluster: Cluster, tmp_path: Path) -> None:
    source = write(tmp_path, change=lambda adata: setattr(adata.obs.index, "name", f"leiden_0.1_{level}"))
    parent = ("--parent_key", "cloud") if level > 1 else ()
    arguments = (source, "out.zarr", *OPTIONS, "--level", level, *parent)
    refused(cluster(*arguments), source, f"obs['leiden_0.1_{level}']", "rename the index")
    assert not Path("out.zarr").exists()


# everything is kept


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_a_run_keeps_everything_and_adds_its_columns(form: str, one: Run, tmp_path: Path) -> None:
    source = saved(tmp_path, form)
    p.edited(source, p.slash_in_a_name)
    before = tree_hash(source)
    report = one(Path(source), {"hierarchy": 2})
    assert tree_hash(source) == before
    assert_kept(load(source), load(report["output"]), {"obs": report["columns"], "uns": ["clustering"]})
    shutil.rmtree(report["output"])
    assert tree_hash(source) == before


def test_an_embedding_of_texts_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    for form in ("h5ad", "zarr3"):
        source = write(tmp_path, form, p.embedding(lambda cells: cells.astype(str).astype(object)))
        result = cluster(source, "out.zarr", "--level", "2", "--parent_key", "cloud")
        refused(result, f"error: {source}: obsm['X_pca']: does not hold rows of numbers")


def test_too_large_values_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    for number, make in enumerate((lambda c: c.astype(np.float64) * 1e50, lambda c: c * np.float32(1e30))):
        (tmp_path / str(number)).mkdir()
        source = write(tmp_path / str(number), change=p.embedding(make))
        result = cluster(source, "out.zarr", "--level", "2", "--parent_key", "cloud")
        refused(result, source, "obsm['X_pca']", "too large", f"{N} cells")

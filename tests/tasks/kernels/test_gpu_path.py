"""A tree whose larger splits are a GPU's, on stand-ins: what is called, kept, keyed, checked and told.

None of this computes on a GPU; see `tests.tasks.gpu_stand_in`.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellstrata.flows.commands.explain import lines
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.kernels import engine_rapids
from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.gpu import gpu_status
from cellstrata.tasks.kernels.gpu_check import check_on_cpu, in_sample
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index
from cellstrata.tasks.results.provenance import column_facts, tree_table
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees import split as split_module
from cellstrata.tasks.trees.column_facts import GpuSummary
from cellstrata.tasks.trees.facts import SplitFacts
from cellstrata.tasks.trees.jobs import Job, bundle_key
from cellstrata.tasks.trees.keys import graph_key
from cellstrata.tasks.trees.placement import Placement
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.split import node_key, root_node, split
from cellstrata.tasks.trees.tree import Pending, Tree
from cellstrata.tasks.trees.umap import compute_umap, find_umap
from tests.tasks.finished_results import make_result, write_input
from tests.tasks.gpu_stand_in import StandIn
from tests.tasks.small import CELLS, blobs, cache_at, graph_of, grow, plan_for

PLAIN = ("cupy", "pylibcugraph")
WHOLE = (*PLAIN, "rapids_singlecell", "cuvs", "cuml")
Installed = Callable[..., StandIn]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    split_module.prepared_graph.clear()
    with pytest.MonkeyPatch.context() as patch:

        def install(*packages: str) -> StandIn:
            made = StandIn()
            made.install(patch, *packages)
            return made

        yield install
    gpu_status.cache_clear()
    split_module.prepared_graph.clear()


def placed(n_cell_cpu: int = 60, check: float = 0.0, factor: int = 50) -> Placement:
    return Placement("auto", n_cell_cpu, factor, check, gpu_status())


def root(plan: TreePlan) -> Pending:
    found = Tree(plan).open(root_node(plan))
    assert found is not None
    return found


def facts_of(plan: TreePlan, cache: Cache) -> SplitFacts:
    return split(plan, root(plan), cache).facts


def test_every_level_has_its_threshold(installed: Installed, tmp_path: Path) -> None:
    installed(*PLAIN)
    plan = plan_for(cache_at(tmp_path), CELLS, 3, placement=placed(60))
    grown = grow(plan, cache_at(tmp_path))
    tried = [outcome for outcome in grown.tree.outcomes.values() if outcome.spec]
    engines = {outcome.facts.engine for outcome in tried}
    assert engines == {"cellstrata", "rapids"}
    for outcome in tried:
        assert outcome.facts.engine == ("rapids" if outcome.n_cells >= 60 else "cellstrata")
        told = outcome.facts.engine_reason
        assert told == plan.placement.choose(outcome.n_cells).reason
        assert (f"{outcome.n_cells} cells < n_cell_cpu 60" == told) == (outcome.n_cells < 60)
        assert outcome.facts.fallback is None
        assert outcome.facts.gpu_check is None
    table = tree_table([grown.tree]).set_index("cluster")
    assert table.loc["all", "engine"] == "pylibcugraph 26.10.0, cupy 14.1.1, float64"
    assert table["engine_reason"].str.contains("n_cell_cpu").any()
    facts = column_facts([grown.tree])
    assert facts["leiden_0.5_1"].engine == "rapids"


def test_one_upload_serves_all_resolutions_of_a_graph(installed: Installed, tmp_path: Path) -> None:
    made, cache = installed(*PLAIN), cache_at(tmp_path)
    for resolution in (0.2, 0.5, 1.0):
        facts_of(plan_for(cache, CELLS, resolution=resolution, placement=placed()), cache)
    assert made.uploads == 3  # offsets, indices, weights: once
    assert [call["resolution"] for call in made.named("leiden")] == [0.2, 0.5, 1.0]


def test_rapids_singlecell_is_called_once_for_all_resolutions(installed: Installed, tmp_path: Path) -> None:
    made, cache = installed(*WHOLE), cache_at(tmp_path)
    resolutions = (0.2, 0.5, 1.0)
    plans = [plan_for(cache, CELLS, resolution=r, placement=placed(), resolutions=resolutions) for r in resolutions]
    found = [facts_of(plan, cache) for plan in plans]
    (call,) = made.named("leiden")
    assert call["resolution"] == list(resolutions)
    assert found[0].engine_version.startswith("rapids-singlecell 0.18.1, pylibcugraph 26.10.0")
    engine, graph = load_engine("rapids"), graph_of(CELLS)
    alone = partition(graph, PartitionSpec("leiden", 1.0), engine)
    again = split(plans[2], root(plans[2]), cache)
    np.testing.assert_array_equal(again.labels(cache), alone.labels)


@pytest.mark.parametrize("packages", [PLAIN, WHOLE])
def test_what_cugraph_is_told(packages: tuple[str, ...], installed: Installed) -> None:
    made = installed(*packages)
    engine, graph = load_engine("rapids"), graph_of(CELLS)
    for algorithm in ("leiden", "louvain"):
        for iterations in (-1, 2, 9):
            partition(graph, PartitionSpec(algorithm, 0.5, n_iterations=iterations, seed=3), engine)  # type: ignore[arg-type]
    for call in made.named("leiden") + made.named("louvain"):
        assert np.dtype(call["dtype"]) == np.float64  # float32 is the default of rapids-singlecell
        assert (call.get("max_level") or call["n_iterations"]) == 100  # the user's iterations mean something else
        assert call["resolution"] == 0.5
    assert {call["random_state"] for call in made.named("leiden")} == {3}
    assert {call["theta"] for call in made.named("leiden")} == {1.0}
    assert (len(made.named("leiden")), len(made.named("louvain"))) == (3, 3)


def test_many_edges_take_wide_indices(installed: Installed, monkeypatch: Any) -> None:
    installed(*PLAIN)
    engine, graph = load_engine("rapids"), graph_of(CELLS)
    narrow: Any = engine.prepare(graph)
    monkeypatch.setattr(engine_rapids, "LARGEST_INT32", len(graph.edges))
    wide: Any = engine.prepare(graph)
    assert [each.dtype for each in (*narrow.arrays, *wide.arrays)] == [np.int32] * 2 + [np.int64] * 2
    spec = PartitionSpec("leiden", 1.0)
    np.testing.assert_array_equal(engine.partition(narrow, spec), engine.partition(wide, spec))


def test_hosts_with_and_without_a_gpu_never_share_labels(installed: Installed, tmp_path: Path) -> None:
    installed(*PLAIN)
    cache = cache_at(tmp_path)
    with_gpu, without = plan_for(cache, CELLS, 2, placement=placed()), plan_for(cache, CELLS, 2)
    one, other = grow(with_gpu, cache), grow(without, cache)
    mine, theirs = one.keys(), other.keys()
    assert mine[()] != theirs[()]
    small = {key for path, key in mine.items() if key and one.tree.outcomes[path].n_cells < 60}
    assert small <= set(theirs.values())  # what the CPU does on both, it does once
    for change in ({"max_cluster_factor": 9}, {"status": replace(gpu_status(), version="pylibcugraph 27")}):
        changed = replace(with_gpu, placement=replace(with_gpu.placement, **change))  # type: ignore[arg-type]
        assert node_key(changed, root(changed), cache) != mine[()]
    same = replace(with_gpu, placement=replace(with_gpu.placement, gpu_check=1.0, n_cell_cpu=7))
    assert node_key(same, root(same), cache) == mine[()]


def test_a_fallback_is_kept_under_the_key_of_what_was_asked(installed: Installed, tmp_path: Path, caplog: Any) -> None:
    installed(*PLAIN)
    cache = cache_at(tmp_path)
    plan, plain = plan_for(cache, CELLS, placement=placed(factor=0)), plan_for(cache, CELLS)
    key = node_key(plan, root(plan), cache)
    sys.modules["pylibcugraph"].leiden = lambda **_: 1 / 0  # type: ignore[attr-defined]
    found = split(plan, root(plan), cache)
    assert found.computed
    assert found.key == key != node_key(plain, root(plain), cache)
    assert found.facts.fallback == "the GPU failed (ZeroDivisionError: division by zero)"
    assert found.facts.fallback in caplog.text
    assert found.facts.engine == "cellstrata"
    assert found.facts.asked_engine.startswith("pylibcugraph")
    assert not cache.find(node_key(plain, root(plain), cache), "split")
    again = split(plan, root(plan), cache)
    assert not again.computed
    assert again.facts.fallback == found.facts.fallback
    grown = grow(plan, cache)
    row = tree_table([grown.tree]).set_index("cluster").loc["all"]
    assert row["fallback"] == found.facts.fallback
    assert column_facts([grown.tree])["leiden_0.5_1"].gpu == GpuSummary(fallbacks=1, checked=0, checks=None)
    assert column_facts([grown.tree])["leiden_0.5_1"].engine == "cellstrata"


def test_a_worker_that_sees_no_device_says_so(installed: Installed, tmp_path: Path) -> None:
    installed(*PLAIN)
    cache = cache_at(tmp_path)
    plan = pickle.loads(pickle.dumps(plan_for(cache, CELLS, placement=placed())))
    key = node_key(plan, root(plan), cache)
    installed()  # as on another machine
    assert node_key(plan, root(plan), cache) == key
    found = facts_of(plan, cache)
    assert "no device: cupy" in found.fallback
    assert found.asked_engine == "pylibcugraph 26.10.0, cupy 14.1.1, float64"
    installed(*WHOLE)  # and on one with other versions
    assert "planned for pylibcugraph 26.10.0" in split(plan, root(plan), cache, refresh=True).facts.fallback


def test_small_clusters_of_a_bundle(installed: Installed, tmp_path: Path) -> None:
    installed(*PLAIN)
    cache = cache_at(tmp_path)
    plan = plan_for(cache, CELLS, 2, placement=placed(60))
    nodes = (root(plan),)
    other = replace(plan, placement=placed(50))
    assert bundle_key(plan, nodes, cache) != bundle_key(other, nodes, cache)  # other engines below
    cpu, cpu_other = (replace(plan, placement=placed(n)) for n in (10**6, 10**7))
    assert bundle_key(cpu, nodes, cache) == bundle_key(cpu_other, nodes, cache)
    jobs = [Job(key="k", plan=each, nodes=nodes, cache=cache) for each in (plan, cpu)]
    assert [job.on_gpu for job in jobs] == [True, False]


def test_a_sample_is_checked_on_the_cpu(installed: Installed, tmp_path: Path) -> None:
    installed(*PLAIN)
    cache = cache_at(tmp_path)
    plan = plan_for(cache, CELLS, 2, placement=placed(60, check=1.0))
    grown = grow(plan, cache)
    for outcome in grown.tree.outcomes.values():
        check = outcome.facts and outcome.facts.gpu_check
        assert (check is not None) == (outcome.spec is not None and outcome.n_cells >= 60)
        if check:
            assert check.n_clusters_gpu == len(outcome.facts.sizes)
            assert set(asdict(check)) == {"engine", "modularity_gap", "ari", "n_clusters_gpu", "n_clusters_cpu"}
    told = column_facts([grown.tree])["leiden_0.5_1"]
    assert told.gpu is not None
    assert told.gpu.checks is not None
    assert told.gpu.checked == told.to_json()["gpu_checked"] == 1
    assert told.gpu.checks.mean_ari == grown.tree.outcomes[()].facts.gpu_check.ari
    assert json.loads(tree_table([grown.tree])["gpu_check"].iloc[0])["engine"].startswith("cellstrata")


def test_the_comparison_with_the_cpu(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    graph, spec = graph_of(CELLS), PartitionSpec("leiden", 0.5)
    same = partition(graph, spec, load_engine("cellstrata"))
    found = check_on_cpu(graph, spec, same)
    assert (found.ari, found.modularity_gap) == (1.0, 0.0)
    worse = replace(same, labels=np.arange(len(CELLS), dtype=np.int32), sizes=[1] * len(CELLS), quality=-0.5)
    found = check_on_cpu(graph, spec, worse)
    assert found.ari == pytest.approx(0, abs=1e-3)
    assert found.modularity_gap == pytest.approx(same.quality + 0.5, abs=1e-5)
    assert (found.n_clusters_gpu, found.n_clusters_cpu) == (len(CELLS), len(same.sizes))
    plain = facts_of(plan_for(cache, CELLS), cache)
    checks = [replace(plain, gpu_check=check) for check in (found, replace(found, ari=1.0, modularity_gap=0.0))]
    told = GpuSummary.of([*checks, replace(plain, fallback="x"), plain])
    assert (told.fallbacks, told.checked) == (1, 2)
    assert told.checks.largest_modularity_gap == found.modularity_gap
    assert GpuSummary.of([plain]) is None


def test_adjusted_rand_index_is_scikit_learns() -> None:
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(0)
    for clusters in (1, 2, 5, 40):
        one, other = rng.integers(0, clusters, (2, 200))
        other = np.where(rng.random(200) < 0.5, one, other)
        assert adjusted_rand_index(one, other) == pytest.approx(adjusted_rand_score(one, other))
    assert adjusted_rand_index(np.zeros(5, int), np.zeros(5, int)) == 1.0


def test_the_sample_is_the_same_everywhere() -> None:
    keys = [f"{int.from_bytes(np.random.default_rng(n).bytes(16), 'big'):032x}" for n in range(2000)]
    assert not any(in_sample(key, 0) for key in keys)
    assert all(in_sample(key, 1) for key in keys)
    chosen = {share: {key for key in keys if in_sample(key, share)} for share in (0.05, 0.2)}
    assert 60 <= len(chosen[0.05]) <= 140
    assert chosen[0.05] < chosen[0.2]  # a larger one holds the smaller


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbors_by_the_gpu(metric: Any, installed: Installed) -> None:
    made = installed(*WHOLE)
    cells, method = blobs([60, 50], 6)[0], gpu_status().knn
    expected, found = nearest_neighbors(cells, 12, metric), neighbors_by(method, cells, 12, metric)
    assert found.method == method == "cuvs-26.10.0-brute-force"
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert (found.indices[:, 0] == np.arange(len(cells))).all()  # itself first, at 0
    assert not found.distances[:, 0].any()
    assert made.named("build") == [{"metric": "sqeuclidean"}]
    keys = {graph_key("c", 110, 12, metric, name) for name in (method, None, "cuvs-27-brute-force")}
    assert len(keys) == 3


def nobody(index: Any, queries: Any, k: int, **_: Any) -> Any:
    cupy = sys.modules["cupy"]
    first = np.tile(np.arange(k), (len(queries), 1))
    return cupy.asarray(first), cupy.asarray(first)


def always(cell: int, queries: Any, k: int) -> Any:
    return None, sys.modules["cupy"].asarray(np.full((len(queries), k), cell))


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        (nobody, "of the neighbours of 32 cells"),
        (lambda index, queries, k: (None, sys.modules["cupy"].asarray(np.full((len(queries), k), -1))), "do not exist"),
        (
            lambda index, queries, k: (None, sys.modules["cupy"].asarray(np.full((len(queries), k), 999))),
            "do not exist",
        ),
        (lambda *_: {}["x"], "KeyError"),
        (lambda *_: (_ for _ in ()).throw(MemoryError("cudaErrorMemoryAllocation")), "the GPU is out of memory"),
    ],
)
def test_neighbors_that_the_gpu_does_not_find(search: Any, reason: str, installed: Installed, caplog: Any) -> None:
    installed(*WHOLE)
    sys.modules["cuvs.neighbors.brute_force"].search = search  # type: ignore[attr-defined]
    cells, method = blobs([60, 50], 6)[0], gpu_status().knn
    expected, found = nearest_neighbors(cells, 12), neighbors_by(method, cells, 12, "euclidean")
    np.testing.assert_array_equal(found.indices, expected.indices)
    assert found.method.startswith(f"{expected.method} instead of {method}: ")
    assert reason in found.method
    assert reason in caplog.text


def test_level_one_and_deeper_graphs_are_the_gpus_where_large_enough(installed: Installed, tmp_path: Path) -> None:
    installed(*WHOLE)
    cache = cache_at(tmp_path)
    grown = grow(plan_for(cache, CELLS, 2, placement=placed(60)), cache)
    for outcome in grown.tree.outcomes.values():
        if outcome.spec:
            by = "cuvs-26.10.0-brute-force" if outcome.n_cells >= 60 else "faiss"
            assert outcome.facts.method.startswith(by)
    assert tree_table([grown.tree]).set_index("cluster").loc["all", "knn"] == "cuvs-26.10.0-brute-force"
    assert grown.labels() == grow(plan_for(cache, CELLS, 2, placement=placed(60)), cache).labels()


def test_umap_by_the_gpu_and_in_its_stead(installed: Installed, tmp_path: Path, monkeypatch: Any) -> None:
    made, cache = installed(*WHOLE), cache_at(tmp_path)
    plan = plan_for(cache, CELLS, placement=placed())
    ((_, ref),) = plan.embeddings.items()
    method = gpu_status().umap
    arguments = (cache, plan.root_graph, ref, "euclidean", 10, 3)
    monkeypatch.setattr("cellstrata.tasks.trees.umap._umap", lambda *_: np.ones((len(CELLS), 2), np.float32))
    found = compute_umap(*arguments, method)
    assert found.fallback is None
    (call,) = made.named("umap")
    assert (call["random_state"], call["init_pos"]) == (3, "spectral")
    assert find_umap(*arguments, method) == found
    assert find_umap(*arguments) is None  # the CPU's is another
    sys.modules["rapids_singlecell"].tl.umap = lambda adata, **_: adata.obsm.update(  # type: ignore[attr-defined]
        X_umap=np.full((len(CELLS), 2), np.nan)
    )
    again = compute_umap(*arguments, method)
    assert "not finite" in again.fallback
    assert again.coordinates != found.coordinates


def test_the_result_and_explain_tell_of_it(installed: Installed, tmp_path: Path, monkeypatch: Any) -> None:
    import anndata as ad

    from cellstrata.tasks.results.explain import explain

    installed(*PLAIN)
    cells = blobs([120, 80, 40])[0]
    asked = {"neighbors": {"n_neighbors": 10, "use_rep": "X_pca"}, "hierarchy": 2, "use_gpu": True, "n_cell_cpu": 100}
    made = make_result(tmp_path, write_input(tmp_path, cells), {**asked, "gpu_check": 1.0})
    facts = json.loads(ad.read_zarr(made.url).uns["clustering"]["columns"])["leiden_0.5_1"]
    assert (facts["engine"], facts["gpu_checked"], facts["fallbacks"]) == ("rapids", 1, 0)
    level = explain(Place(made.url), "0", column="leiden_0.5_1").levels[0]
    assert level.split is not None
    assert level.split.engine_reason == "240 cells >= n_cell_cpu 100, on Stand-in"
    assert level.split.gpu_check is not None
    assert level.split.gpu_check.n_clusters_gpu == facts["n_clusters"]
    text = "\n".join(lines(explain(Place(made.url), "0", column="leiden_0.5_1")))
    assert "by cellstrata" in text
    assert "ARI" in text
    sys.modules["pylibcugraph"].leiden = lambda **_: {}["gone"]  # type: ignore[attr-defined]
    split_module.prepared_graph.clear()
    (tmp_path / "b").mkdir()
    broken = make_result(tmp_path / "b", write_input(tmp_path, cells), asked)
    text = "\n".join(lines(explain(Place(broken.url), "0", column="leiden_0.5_1")))
    assert "fallback   the CPU repeated what a GPU was asked for: the GPU failed (KeyError: 'gone')" in text
    (notice,) = [each for each in broken.finished.notices() if "GPU" in each]
    assert notice.startswith("the CPU repeated 2 splits that a GPU was asked for: the GPU failed (KeyError")

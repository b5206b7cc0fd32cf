"""Inspect first: open every input, check it against what is asked, stage what will be read.

Only the elements that are needed are read, once: obs names, and the embeddings and graph, whose
values are checked and, if nothing at all is wrong, put in the cache, from where the splits take
their own rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from configs.clustering import ClusteringConfig
from configs.single_level import NAME
from tasks import elements
from tasks.cache import ArrayRef, Cache
from tasks.checks import (
    OPTIONS,
    Check,
    check_colors,
    check_names,
    check_output,
    check_umap,
    columns_of,
    kept_columns,
)
from tasks.engines import PartitionSpec
from tasks.knn import METRICS
from tasks.opening import DataError, open_anndata, reading
from tasks.plan import EmbeddingChoice, NeighborsSpec, lay_over
from tasks.store import StorageOptions, absolute, identity, join
from tasks.stored_graph import DEFAULT_REP, base_neighbors, read_graph, stage_graph, stored_graph

TOO_LARGE = 1e15  # of an embedding: squared distances must stay far below the largest float32, 3e38


@dataclass(frozen=True)
class Input:
    """What is known of one file of one dataset before work starts.

    `embeddings` holds the staged ones, None where X_pca has still to be computed; `stored_graph` is
    the key of the input's own graph, None when level 1's graph is to be computed.
    """

    dataset: str
    file_id: str
    url: str
    output: str
    identity: dict[str, Any]
    n_cells: int
    neighbors_key: str
    neighbors: NeighborsSpec
    embeddings: Mapping[EmbeddingChoice, ArrayRef | None]
    stored_graph: str | None
    umap: Literal["stored", "compute", "none"]
    kept_columns: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`dataset/file id`."""
        return f"{self.dataset}/{self.file_id}"

    @property
    def labels(self) -> str:
        """Where the table of labels goes."""
        return join(self.output.removesuffix(".zarr"), "labels.parquet")


def output_url(output_dir: str, dataset: str, file_id: str) -> str:
    """Return where the result of a file goes, laid out as the ancestor does."""
    return join(absolute(output_dir), "clustering", f"dataset~{dataset}", f"file_id~{file_id}.zarr")


def inspect_input(
    dataset: str,
    file_id: str,
    url: str,
    config: ClusteringConfig,
    output_dir: str,
    cache: Cache,
    storage_options: StorageOptions | None = None,
) -> tuple[Input | None, list[str]]:
    """Check one input and stage its embeddings and graph in the cache.

    Returns what the run needs to know, or None and everything that is wrong, each problem as one
    line that names the file, the key and the fix.
    """
    url, output = absolute(url), output_url(output_dir, dataset, file_id)
    name = f"{dataset}/{file_id}"
    try:
        with open_anndata(url, storage_options) as root:
            check = Check(url, root, config)
            found = _inspect(check, dataset, file_id, output, cache, storage_options)
    except DataError as error:
        return None, [f"{name}: {error}"]
    if check.problems:
        return None, [f"{name}: {problem}" for problem in check.problems]
    return found, []


def inspect_level(
    url: str,
    output: str,
    config: ClusteringConfig,
    cache: Cache,
    storage_options: StorageOptions | None = None,
) -> tuple[Input | None, list[str]]:
    """The same for one level alone, the deepest of `config`, whose result goes to `output`.

    Below level 1 no graph of the whole dataset is needed, and none is read.
    """
    url, output = absolute(url), absolute(output)
    try:
        with open_anndata(url, storage_options) as root:
            check = Check(url, root, config, wording=OPTIONS)
            found = _inspect(check, NAME, NAME, output, cache, storage_options, config.hierarchy.depth)
    except DataError as error:
        return None, [str(error)]
    return found, check.problems


def _inspect(
    check: Check,
    dataset: str,
    file_id: str,
    output: str,
    cache: Cache,
    storage_options: StorageOptions | None,
    level: int | None = None,
) -> Input | None:
    whole, config = level in (None, 1), check.config
    check_output(check, output, storage_options)
    with reading(check.url, "obs"):
        n_cells = elements.n_obs(check.root)
        names = elements.obs_names(check.root)
    check_names(check, columns_of(config) if level is None else columns_of(config)[-1:])
    if len(set(names)) < n_cells:
        check.notices.append("some obs names occur twice: cells are told apart by their position")
    with reading(check.url, "obsm"):
        umap = check_umap(check)
    with reading(check.url):
        check_colors(check)
    with reading(check.url, f"uns[{config.neighbors_key or 'neighbors'!r}]"):
        key, stored, recorded = stored_graph(check, whole)
    with reading(check.url, "obsm"):
        base = base_neighbors(config, recorded, check, stored)
    computed = whole and (not stored or config.recompute_neighbors)
    wanted = _wanted(config, base, computed=computed, umap=umap == "compute")
    for spec in wanted:
        if spec.metric not in METRICS:
            check.wrong(
                f"uns[{key!r}]",
                f"its graph was built with the metric {spec.metric!r}; graphs are built here with "
                f"{' or '.join(METRICS)}: {check.wording.neighbors_key('metric')}",
            )
    embeddings = _read_embeddings(check, dict.fromkeys(spec.embedding for spec in wanted), n_cells)
    graph = None
    if whole and stored and not config.recompute_neighbors:
        graph = read_graph(check, key, recorded, n_cells)
    with reading(check.url, "obs"):
        kept = kept_columns(check) if level is None else frozenset()
    if check.problems:
        return None
    staged = {choice: None if values is None else cache.put(values) for choice, values in embeddings.items()}
    graph_key = stage_graph(graph, cache) if graph else None
    return Input(
        dataset, file_id, check.url, output, identity(check.url, storage_options), n_cells, key, base,
        staged, graph_key, umap, kept, tuple(check.notices),
    )  # fmt: skip


def _wanted(config: ClusteringConfig, base: NeighborsSpec, *, computed: bool, umap: bool) -> list[NeighborsSpec]:
    """List the graph parameters of every split that the hierarchy can ask for."""
    asked = config.hierarchy
    unused = PartitionSpec("leiden", 1.0)
    paths = [()] if computed else []
    specs = [lay_over(unused, base, p).neighbors for path in paths if (p := asked.parameters(path))]
    for level in range(2, asked.deepest_blanket + 1):
        parameters = asked.levels.get(level)
        specs.append(lay_over(unused, base, parameters).neighbors if parameters else base)
    specs += [lay_over(unused, base, p).neighbors for path, p in asked.clusters.items() if p is not None and path]
    return list(dict.fromkeys([*specs, *([base] if umap else [])]))


@np.errstate(over="ignore", invalid="ignore")  # what is no float32 becomes infinite, and is refused
def _read_embeddings(
    check: Check, choices: Iterable[EmbeddingChoice], n_cells: int
) -> dict[EmbeddingChoice, np.ndarray | None]:
    """Read each embedding that is needed and check its values; None for a PCA that has to be computed."""
    with reading(check.url, "obsm"):
        there = elements.obsm_shapes(check.root)
    found: dict[EmbeddingChoice, np.ndarray | None] = {}
    for choice in choices:
        key = f"obsm[{choice.use_rep!r}]"
        if choice.use_rep == "X":
            with reading(check.url, "X"):
                values = np.asarray(_dense(elements.read_x(check.root)), dtype=np.float32)
        elif choice.use_rep in there:
            with reading(check.url, key):
                values = elements.read_obsm(check.root, choice.use_rep)
        elif choice.use_rep == DEFAULT_REP and "X" in check.root:
            check.notices.append("obsm['X_pca'] is not there: a PCA of X is computed")
            found[choice] = None
            continue
        else:
            near = difflib.get_close_matches(choice.use_rep, there, 1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            has = f"it has {', '.join(there)}" if there else "it has none"
            check.wrong(key, f"there is no such embedding; {has}; {hint}{check.wording.neighbors_key('use_rep')}")
            continue
        if choice.n_pcs is not None and choice.n_pcs > values.shape[1]:
            check.wrong(key, f"has {values.shape[1]} columns, fewer than `neighbors.n_pcs: {choice.n_pcs}`")
            continue
        values = np.ascontiguousarray(values[:, : choice.n_pcs])
        bad = np.flatnonzero(~(np.abs(values) < TOO_LARGE).all(1)) if values.size else np.empty(0, int)
        if values.shape[0] != n_cells:
            check.wrong(key, f"has {values.shape[0]} rows, but obs has {n_cells}: write it again for these cells")
        elif not values.shape[1]:
            check.wrong(key, f"has no columns: {check.wording.neighbors_key('use_rep')}")
        elif len(bad):
            check.wrong(
                key,
                f"has NaN, infinite or too large values in {len(bad)} cells (the first is row {bad[0]}): "
                "remove or mend them",
            )
        else:
            found[choice] = values
    return found


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix

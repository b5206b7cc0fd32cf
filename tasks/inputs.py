"""Inspect first: open every input, check it against what is asked, stage what will be read.

Only the elements that are needed are read, once: obs names, and the embeddings and graph, whose
values are checked and put in the cache, from where the splits take their own rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from configs.clustering import ClusteringConfig
from tasks import elements
from tasks.cache import ArrayRef, Cache
from tasks.checks import Check, check_colors, check_output, check_umap, kept_columns
from tasks.engines import PartitionSpec
from tasks.knn import METRICS
from tasks.opening import DataError, open_anndata
from tasks.plan import EmbeddingChoice, NeighborsSpec, lay_over
from tasks.store import StorageOptions, absolute, identity, join
from tasks.stored_graph import DEFAULT_REP, base_neighbors, stage_graph, stored_graph


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


def _inspect(
    check: Check,
    dataset: str,
    file_id: str,
    output: str,
    cache: Cache,
    storage_options: StorageOptions | None,
) -> Input | None:
    check_output(check, output, storage_options)
    n_cells = elements.n_obs(check.root)
    names = elements.obs_names(check.root)
    if len(set(names)) < n_cells:
        check.notices.append("some obs names occur twice: cells are told apart by their position")
    umap = check_umap(check)
    check_colors(check)
    key, stored, recorded = stored_graph(check)
    base = base_neighbors(config := check.config, recorded, check, stored)
    wanted = _wanted(config, base, computed=not stored or config.recompute_neighbors, umap=umap == "compute")
    for spec in wanted:
        if spec.metric not in METRICS:
            check.wrong(
                f"uns[{key!r}]",
                f"its graph was built with the metric {spec.metric!r}; graphs are built here with "
                f"{' or '.join(METRICS)}: set `neighbors.metric`",
            )
    embeddings = _stage_embeddings(check, dict.fromkeys(spec.embedding for spec in wanted), n_cells, cache)
    graph_key = None
    if stored and not config.recompute_neighbors:
        graph_key = stage_graph(check, key, recorded, n_cells, cache)
    kept = kept_columns(check)
    if check.problems:
        return None
    return Input(
        dataset, file_id, check.url, output, identity(check.url, storage_options), n_cells, key, base,
        embeddings, graph_key, umap, kept, tuple(check.notices),
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


def _stage_embeddings(
    check: Check, choices: Iterable[EmbeddingChoice], n_cells: int, cache: Cache
) -> dict[EmbeddingChoice, ArrayRef | None]:
    """Read each embedding that is needed, check its values, and put it in the cache."""
    there = elements.obsm_shapes(check.root)
    staged: dict[EmbeddingChoice, ArrayRef | None] = {}
    for choice in choices:
        key = f"obsm[{choice.use_rep!r}]"
        if choice.use_rep == "X":
            values = np.asarray(_dense(elements.read_x(check.root)), dtype=np.float32)
        elif choice.use_rep in there:
            values = elements.read_obsm(check.root, choice.use_rep)
        elif choice.use_rep == DEFAULT_REP and "X" in check.root:
            check.notices.append("obsm['X_pca'] is not there: a PCA of X is computed")
            staged[choice] = None
            continue
        else:
            near = difflib.get_close_matches(choice.use_rep, there, 1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            has = f"it has {', '.join(there)}" if there else "it has none"
            check.wrong(key, f"there is no such embedding; {has}; {hint}set `neighbors.use_rep`")
            continue
        if choice.n_pcs is not None and choice.n_pcs > values.shape[1]:
            check.wrong(key, f"has {values.shape[1]} columns, fewer than `neighbors.n_pcs: {choice.n_pcs}`")
            continue
        values = np.ascontiguousarray(values[:, : choice.n_pcs])
        bad = np.flatnonzero(~np.isfinite(values).all(1)) if values.size else np.empty(0, int)
        if values.shape[0] != n_cells:
            check.wrong(key, f"has {values.shape[0]} rows, but obs has {n_cells}")
        elif not values.shape[1]:
            check.wrong(key, "has no columns")
        elif len(bad):
            check.wrong(
                key,
                f"has NaN or infinite values in {len(bad)} cells (the first is row {bad[0]}): remove or mend them",
            )
        else:
            staged[choice] = cache.put(values)
    return staged


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix

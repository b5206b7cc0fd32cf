"""Inspect first: open every input, check it against what is asked, stage what will be read.

Only the elements that are needed are read, once: obs names, and the embeddings and graph, whose
values are checked and put in the cache, from where the splits take their own rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from configs.clustering import ClusteringConfig
from tasks import elements
from tasks.cache import ArrayRef, Cache
from tasks.engines import PartitionSpec
from tasks.graph import GraphError, from_adjacency
from tasks.keys import stored_graph_key
from tasks.knn import METRICS
from tasks.labels import column_name
from tasks.opening import DataError, InputError, open_anndata
from tasks.plan import EmbeddingChoice, NeighborsSpec, lay_over
from tasks.publish import is_ours
from tasks.split import find_graph, write_graph
from tasks.store import StorageOptions, Store, absolute, identity, join

DEFAULT_NEIGHBORS, DEFAULT_REP = 15, "X_pca"
DRAWINGS = ("X_umap", "X_tsne", "X_draw_graph_fa", "spatial")  # not what a graph is built from


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


@dataclass
class _Check:
    """One input under inspection: what was found wrong so far, and what should be said."""

    url: str
    root: elements.Root
    config: ClusteringConfig
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def wrong(self, key: str, message: str) -> None:
        self.problems.append(str(InputError(self.url, key, message)))


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
            check = _Check(url, root, config)
            found = _inspect(check, dataset, file_id, output, cache, storage_options)
    except DataError as error:
        return None, [f"{name}: {error}"]
    if check.problems:
        return None, [f"{name}: {problem}" for problem in check.problems]
    return found, []


def _inspect(
    check: _Check,
    dataset: str,
    file_id: str,
    output: str,
    cache: Cache,
    storage_options: StorageOptions | None,
) -> Input | None:
    _check_output(check, output, storage_options)
    n_cells = elements.n_obs(check.root)
    names = elements.obs_names(check.root)
    if len(set(names)) < n_cells:
        check.notices.append("some obs names occur twice: cells are told apart by their position")
    umap = _check_umap(check)
    _check_colors(check)
    key, stored, recorded = _stored_graph(check)
    base = _base_neighbors(config := check.config, recorded, check, stored)
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
        graph_key = _stage_graph(check, key, recorded, n_cells, cache)
    kept = _kept_columns(check)
    if check.problems:
        return None
    return Input(
        dataset, file_id, check.url, output, identity(check.url, storage_options), n_cells, key, base,
        embeddings, graph_key, umap, kept, tuple(check.notices),
    )  # fmt: skip


def _check_output(check: _Check, output: str, storage_options: StorageOptions | None) -> None:
    inside = output == check.url or output.startswith(check.url.rstrip("/") + "/")
    if inside or check.url.startswith(output + "/"):
        check.wrong("", f"the result would be written to {output}, over its own input: change `output_dir`")
    elif Store.at(output, storage_options).exists() and not is_ours(output, storage_options):
        check.wrong("", f"{output} exists and was not made by cellstrata: move it away, or change `output_dir`")


def _stored_graph(check: _Check) -> tuple[str, bool, Mapping[str, Any]]:
    """Return the graph's key in uns, whether the input has it, and the parameters recorded with it."""
    given = check.config.neighbors_key
    key = given or "neighbors"
    entry: Any = {}
    if key in elements.uns_keys(check.root):
        entry = elements.read_uns(check.root, key)
        entry = entry if isinstance(entry, Mapping) else {}
    stored = _connectivities_key(key, entry) in elements.obsp_keys(check.root)
    if not stored and not check.config.recompute_neighbors:
        if given or check.config.neighbors is False:
            there = [k for k in elements.uns_keys(check.root) if "neighbors" in k]
            has = f"it has {', '.join(there)}; " if there else ""
            check.wrong(
                f"uns[{key!r}]", f"has no graph with connectivities; {has}set `recompute_neighbors: true` to build one"
            )
        else:
            check.notices.append("no neighbour graph is stored: one is computed")
    params = entry.get("params", {})
    return key, stored, {**entry, "params": params if isinstance(params, Mapping) else {}}


def _connectivities_key(key: str, entry: Mapping[str, Any]) -> str:
    default = "connectivities" if key == "neighbors" else f"{key}_connectivities"
    return str(entry.get("connectivities_key", default))


def _base_neighbors(
    config: ClusteringConfig, recorded: Mapping[str, Any], check: _Check, stored: bool
) -> NeighborsSpec:
    """The configuration's graph parameters, else those recorded with the stored graph, else 15, X_pca."""
    asked, params = config.neighbors or None, recorded["params"]
    plain = {name: _scalar(value) for name, value in params.items()}
    use_rep = (asked and asked.use_rep) or plain.get("use_rep")
    n_pcs = asked and asked.n_pcs
    if n_pcs is None and not (asked and asked.use_rep) and plain.get("n_pcs"):
        n_pcs = int(plain["n_pcs"])
    others = [name for name in elements.obsm_shapes(check.root) if name not in (DEFAULT_REP, *DRAWINGS)]
    if use_rep is None and others and stored and not config.recompute_neighbors and config.hierarchy.depth > 1:
        check.notices.append(
            f"the stored graph does not say which embedding it came from: deeper levels use {DEFAULT_REP} "
            "(set `neighbors.use_rep` for another)"
        )
    return NeighborsSpec(
        (asked and asked.n_neighbors) or int(plain.get("n_neighbors") or DEFAULT_NEIGHBORS),
        str((asked and asked.metric) or plain.get("metric") or "euclidean"),
        EmbeddingChoice(str(use_rep or DEFAULT_REP), n_pcs),
    )


def _scalar(value: Any) -> Any:
    """Unwrap what older scanpy stored as an array of one element."""
    if not hasattr(value, "dtype") or np.size(value) != 1:
        return value
    return np.asarray(value).reshape(-1).tolist()[0]  # a plain value, also from an array of objects


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
    check: _Check, choices: Iterable[EmbeddingChoice], n_cells: int, cache: Cache
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
                key, f"has NaN or infinite values in {len(bad)} cells (the first is row {bad[0]}): remove or mend them"
            )
        else:
            staged[choice] = cache.put(values)
    return staged


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


def _stage_graph(
    check: _Check, key: str, recorded: Mapping[str, Any], n_cells: int, cache: Cache
) -> str | None:
    """Read the stored connectivities (never the distances), check them, and put them in the cache."""
    name = _connectivities_key(key, recorded)
    try:
        graph, notice = from_adjacency(elements.read_obsp(check.root, name))
    except GraphError as error:
        check.wrong(f"obsp[{name!r}]", f"{error}: mend it, or set `recompute_neighbors: true`")
        return None
    if graph.n_vertices != n_cells:
        check.wrong(f"obsp[{name!r}]", f"is for {graph.n_vertices} cells, but obs has {n_cells}")
        return None
    if notice:
        check.notices.append(f"obsp[{name!r}]: {notice}")
    graph_key = stored_graph_key(
        graph.n_vertices, cache.put(graph.edges).digest, cache.put(graph.weights).digest
    )
    if find_graph(cache, graph_key) is None:
        write_graph(cache, graph_key, graph, "stored")
    return graph_key


def _check_umap(check: _Check) -> Literal["stored", "compute", "none"]:
    if check.config.recompute_umap:
        return "compute"
    if "X_umap" in elements.obsm_shapes(check.root):
        return "stored"
    colors = [*check.config.umap_colors, *check.config.plots.colors]
    if colors:
        check.notices.append("no UMAP is stored and none is asked for, so the result has none (`recompute_umap: true`)")
    return "none"


def _check_colors(check: _Check) -> None:
    """Colours must be obs columns, cluster columns of this run, or genes."""
    config = check.config
    known = set(elements.obs_columns(check.root)) | set(columns_of(config))
    missing = [
        name
        for name in dict.fromkeys([*config.umap_colors, *config.plots.colors, *config.plots.plot_centroids])
        if name not in known
    ]
    if not missing:
        return
    genes = set(map(str, elements.var_names(check.root)))
    for name in missing:
        if name in genes:
            continue
        near = difflib.get_close_matches(name, [*known, *genes], 1)
        hint = f"did you mean `{near[0]}`?" if near else f"obs has {', '.join(sorted(known)[:8]) or 'no columns'}"
        check.wrong(f"obs[{name!r}]", f"`umap_colors` or `plots` name it, but it is neither a column nor a gene; {hint}")


def columns_of(config: ClusteringConfig) -> list[str]:
    """Return the obs columns that a configuration makes, in their order."""
    return [
        column_name(algorithm, resolution, level)
        for algorithm in config.algorithm
        for resolution in config.resolutions
        for level in range(1, config.hierarchy.depth + 1)
    ]


def _kept_columns(check: _Check) -> frozenset[str]:
    """With `overwrite: false`, the columns that the input has already; a tree is kept whole or not at all."""
    if check.config.overwrite:
        return frozenset()
    there = set(elements.obs_columns(check.root))
    kept: set[str] = set()
    for algorithm in check.config.algorithm:
        for resolution in check.config.resolutions:
            levels = range(1, check.config.hierarchy.depth + 1)
            columns = [column_name(algorithm, resolution, level) for level in levels]
            found = [column for column in columns if column in there]
            if found and len(found) < len(columns):
                check.wrong(
                    f"obs[{found[-1]!r}]",
                    f"is there already, but not {', '.join(c for c in columns if c not in there)}; with "
                    "`overwrite: false` a hierarchy is kept whole: drop the column, or set `overwrite: true`",
                )
            kept.update(found)
    if kept:
        check.notices.append(f"kept as they are (`overwrite: false`): {', '.join(sorted(kept))}")
    return frozenset(kept)

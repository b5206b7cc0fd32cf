"""Inspect first: open every input, check it against what is asked, stage what will be read.

Only the elements that are needed are read, once: obs names, and the embeddings and graph, whose
values are checked and, if nothing at all is wrong, put in the cache, from where the splits take
their own rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.loading.single_level import NAME
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import DataError, Opened, reading
from cellstrata.tasks.elements.own_metadata import older_than, take_own
from cellstrata.tasks.inputs.batches import read_batches, stage_batches
from cellstrata.tasks.inputs.checks import (
    ARGUMENTS,
    OPTIONS,
    Check,
    check_colors,
    check_compression,
    check_names,
    check_output,
    check_umap,
    columns_of,
    kept_columns,
)
from cellstrata.tasks.inputs.earlier_columns import earlier_columns
from cellstrata.tasks.inputs.embeddings import read_embeddings, stage
from cellstrata.tasks.inputs.index import Remembered
from cellstrata.tasks.inputs.stored_graph import base_neighbors, find_stored_graph, stage_graph, stored_graph
from cellstrata.tasks.kernels.engines import PartitionSpec
from cellstrata.tasks.kernels.knn import METRICS, effective_neighbors
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import absolute, join
from cellstrata.tasks.trees.plan import Batches, EmbeddingChoice, NeighborsSpec, lay_over


@dataclass(frozen=True, kw_only=True)
class Input:
    """What is known of one file of one dataset before work starts.

    Of the `notices` the `foremost` are said before the summary.
    `embeddings` holds the staged ones, None where X_pca has still to be computed; `stored_graph` is
    the key of the input's own graph, None when level 1's graph is to be computed; `earlier_columns` are
    those of an earlier run, which the result does not have. `opened` is the input as it
    was looked at and opened: whoever needs more of it enters it again.
    """

    dataset: str
    file_id: str
    url: str
    output: str
    opened: Opened = field(repr=False, compare=False)
    identity: dict[str, object]
    n_cells: int
    neighbors_key: str
    neighbors: NeighborsSpec
    embeddings: Mapping[EmbeddingChoice, ArrayRef | None]
    stored_graph: str | None
    umap: Literal["stored", "compute", "none"]
    kept_columns: frozenset[str] = frozenset()
    earlier_columns: frozenset[str] = frozenset()
    batches: tuple[Batches, ...] = ()
    notices: tuple[str, ...] = ()
    foremost: tuple[str, ...] = ()

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
    place: Place,
    config: ClusteringConfig,
    output_dir: str,
    cache: Cache,
    *,
    rehash: bool = False,
) -> tuple[Input | None, list[str]]:
    """Check one input and stage its embeddings and graph in the cache.

    What the cache remembers of this very object is not read again, unless `rehash`. Returns what the
    run needs to know, or None and everything that is wrong, each problem as one line that names the
    file, the key and the fix.
    """
    output, name = place.at(output_url(output_dir, dataset, file_id)), f"{dataset}/{file_id}"
    try:
        source = Opened.at(place)
    except DataError as error:
        return None, [f"{name}: {error}"]
    try:
        with source.root() as root:
            check = Check(source.url, root, config)
            found = _inspect(check, source, output, cache, dataset=dataset, file_id=file_id, rehash=rehash)
    except DataError as error:
        return None, [f"{name}: {_changed_meanwhile(source) or error}"]
    if check.problems:
        return None, [f"{name}: {problem}" for problem in check.problems]
    return found, []


def inspect_level(
    source: Opened,
    output: str,
    config: ClusteringConfig,
    cache: Cache,
    *,
    rehash: bool = False,
) -> tuple[Input | None, list[str]]:
    """The same for one level alone, the deepest of `config`, whose result goes to `output`.

    Below level 1 no graph of the whole dataset is needed, and none is read.
    """
    place, level = source.place.at(output), config.hierarchy.depth
    try:
        with source.root() as root:
            check = Check(source.url, root, config, wording=OPTIONS)
            found = _inspect(check, source, place, cache, dataset=NAME, file_id=NAME, rehash=rehash, level=level)
    except DataError as error:
        return None, [str(_changed_meanwhile(source) or error)]
    return found, check.problems


def inspect_memory(
    source: Opened, dataset: str, file_id: str, config: ClusteringConfig, cache: Cache
) -> tuple[Input | None, list[str]]:
    """The same for an AnnData in memory, of which no result is written: its `output` is empty."""
    try:
        with source.root() as root:
            check = Check(source.url, root, config, wording=ARGUMENTS)
            found = _inspect(check, source, None, cache, dataset=dataset, file_id=file_id, rehash=False)
    except DataError as error:
        return None, [str(error)]
    return found, check.problems


def _changed_meanwhile(source: Opened) -> DataError | None:
    """Return the better reason why an input cannot be read: it has changed or gone since it was opened."""
    try:
        source.check_unchanged()
    except DataError as error:
        return error
    except OSError:
        pass
    return None


def _inspect(
    check: Check,
    source: Opened,
    output: Place | None,
    cache: Cache,
    *,
    dataset: str,
    file_id: str,
    rehash: bool,
    level: int | None = None,
) -> Input | None:
    whole, config = level in (None, 1), check.config
    if output is not None:
        check_output(check, output)
    with reading(check.url, "obs"):
        take_own(check.root, "obs", *([] if config.recompute_umap else ["obsm/X_umap"]))
        n_cells = elements.n_obs(check.root)
    with reading(check.url):
        narrow = level is not None and output is not None and source.place.is_local and output.is_local
        if not check_compression(check, not narrow):
            return None
    with reading(check.url, "obs"):
        names = elements.obs_names(check.root)
    if not n_cells:
        check.wrong("obs", "has no cells, so there is nothing to cluster: check how the file was made")
        return None
    check_names(check, columns_of(config) if level is None else columns_of(config)[-1:])
    if missing := sum(name is None for name in names):
        message = f"{missing} of {n_cells} cells have no name: give each one, for instance by `adata.obs_names`"
        check.wrong("obs", message)
    elif len(set(names)) < n_cells:
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
    wanted = wanted_neighbors(config, base, root=computed or (whole and config.asks_evidence), umap=umap == "compute")
    for spec in wanted:
        if spec.metric not in METRICS:
            check.wrong(
                f"uns[{key!r}]",
                f"its graph was built with the metric {spec.metric!r}; graphs are built here with "
                f"{' or '.join(METRICS)}: {check.wording.neighbors_key('metric')}",
            )
    if few := sorted({spec.n_neighbors for spec in wanted if n_cells < spec.n_neighbors} if computed else set()):
        taken = effective_neighbors(few[0], n_cells)
        check.notices.append(
            f"the dataset has {n_cells} cells, fewer than `n_neighbors: {few[0]}`: each gets {taken} neighbors, itself "
            "counted, as in scanpy"
        )
    memory = Remembered(cache, source, forget=rehash)
    by_angle = {spec.embedding for spec in wanted if spec.metric == "cosine"}
    before = len(check.problems)
    of_all = dict.fromkeys(spec.embedding for spec in wanted if spec.embedding.own is None)
    embeddings = read_embeddings(check, of_all, n_cells, memory, by_angle)
    if len(check.problems) > before and whole and not computed and config.hierarchy.depth == 1 and config.asks_evidence:
        without = "`evidence`, `stop`, `resolutions: auto` or `advise`, which ask for it"
        check.problems[-1] += f", in which evidence is gathered, or do without {without}"
    graph = None
    if whole and stored and not config.recompute_neighbors:
        graph = find_stored_graph(check, key, recorded, n_cells, memory)
        if graph is not None and umap == "compute" and n_cells > 1 and not graph.n_edges(cache):
            check.wrong(
                f"uns[{key!r}]",
                f"its graph has no edges, so no UMAP can be drawn of it: {check.wording.graph}, or "
                "leave out `recompute_umap`",
            )
    batches = read_batches(check) if level is None else {}
    with reading(check.url, "obs"):
        kept = kept_columns(check) if level is None else frozenset()
    with reading(check.url, "uns['clustering']"):
        earlier = earlier_columns(check) if level is None and output is not None else frozenset()
    if older := older_than(check.root):
        check.notices.append(
            f"the consolidated metadata are older than {', '.join(older)}, whose own were taken: make them anew with "
            "`zarr.consolidate_metadata`"
        )
    if check.problems:
        return None
    source.check_unchanged()
    staged = {choice: stage(found, cache, memory) for choice, found in embeddings.items()}
    graph_key = stage_graph(graph, cache, memory) if graph else None
    return Input(
        dataset=dataset,
        file_id=file_id,
        url=source.url,
        output="" if output is None else output.url,
        opened=source,
        identity=source.identity,
        n_cells=n_cells,
        neighbors_key=key,
        neighbors=base,
        embeddings=staged,
        stored_graph=graph_key,
        umap=umap,
        kept_columns=kept,
        earlier_columns=earlier,
        batches=stage_batches(batches, cache),
        notices=(*check.foremost, *check.notices),
        foremost=tuple(check.foremost),
    )


def wanted_neighbors(config: ClusteringConfig, base: NeighborsSpec, *, root: bool, umap: bool) -> list[NeighborsSpec]:
    """List the graph parameters of every split that the hierarchy can ask for, those on embeddings of their own too."""
    unused, asked = PartitionSpec("leiden", 1.0), config.hierarchy
    first = asked.parameters(()) if root else None
    specs = [lay_over(unused, base, first).neighbors] if first is not None else []
    specs += [lay_over(unused, base, own, config.embedding).neighbors for own in asked.below_level_1()]
    return list(dict.fromkeys([*specs, *([base] if umap else [])]))

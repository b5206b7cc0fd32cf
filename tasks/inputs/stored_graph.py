"""The neighbour graph that an input holds: where it is, how it was built, its values staged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.cache.record import plain
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.storage_nodes import is_array
from cellstrata.tasks.inputs.checks import Check
from cellstrata.tasks.inputs.index import Remembered
from cellstrata.tasks.kernels.graph import Graph, GraphError, from_adjacency
from cellstrata.tasks.trees.graphs import find_graph, write_graph
from cellstrata.tasks.trees.keys import stored_graph_key
from cellstrata.tasks.trees.plan import EmbeddingChoice, NeighborsSpec

DEFAULT_NEIGHBORS, DEFAULT_REP = 15, "X_pca"
SMALL_X = 50  # variables, scanpy's `settings.N_PCS`: up to these `sc.pp.neighbors` takes X, in all its versions
RANKS_AS = {"l2": "euclidean", "sqeuclidean": "euclidean"}  # metrics whose nearest neighbours are the same
DRAWINGS = ("X_umap", "X_tsne", "X_draw_graph_fa", "spatial")  # not what a graph is built from


def stored_graph(check: Check, needed: bool = True) -> tuple[str, bool, Mapping[str, Any]]:
    """Return the graph's key in uns, whether the input has it, and the parameters recorded with it.

    Where the graph itself is not `needed`, the record alone is enough.
    """
    given = check.config.neighbors_key
    key = given or "neighbors"
    take_own(check.root, f"uns/{key}")
    entry: Any = {}
    recorded = key in elements.uns_keys(check.root)
    if recorded:
        entry = elements.read_uns(check.root, key)
        entry = entry if isinstance(entry, Mapping) else {}
    if needed and not check.config.recompute_neighbors:
        named = str(entry.get("connectivities_key", default_key(key)))
        take_own(check.root, *(f"obsp/{name}" for name in (named, *([key] if given else []))))
    stored = _connectivities_key(key, entry, check.root) in elements.obsp_keys(check.root)
    if not (stored or check.config.recompute_neighbors or (recorded and not needed)):
        graphs = other_graphs(check.root, key)
        has = "; ".join(f"{place} (`neighbors_key: {name}`)" for name, place in graphs.items())
        if given or check.config.neighbors is False:
            what = f"it has {has}; " if has else ""
            check.wrong(f"uns[{key!r}]", f"has no graph with connectivities; {what}{check.wording.graph}")
        elif needed and graphs:
            check.foremost.append(
                f"a graph is stored and NOT used: {has}. Under uns['neighbors'] there is none, so one is computed; "
                f"name the one that is meant, or {check.wording.graph}"
            )
        elif needed:
            check.notices.append("no neighbour graph is stored: one is computed")
    params = entry.get("params", {})
    return key, stored, {**entry, "params": params if isinstance(params, Mapping) else {}}


def other_graphs(root: elements.Root, key: str) -> dict[str, str]:
    """Return the graphs that are stored under other keys than `key`, each with where it is: `uns['scvi']`.

    An entry of uns counts, whatever its name, if the connectivities that it names are there; so does a matrix of obsp
    that no entry names, unless it is called one of distances. Each key can be written as `neighbors_key`.
    """
    matrices = elements.obsp_keys(root)
    found, named = dict[str, str](), set[str]()
    for name in elements.uns_keys(root):
        entry = root["uns"][name]
        if not is_array(entry):
            own = _said(entry, "connectivities_key") or default_key(name)
            named |= {own, _said(entry, "distances_key")}
            if own in matrices and name != key:
                found[name] = f"uns[{name!r}]"
    for matrix in matrices:
        bare = matrix.removesuffix("_connectivities")
        if matrix not in named and "distance" not in matrix and bare not in (key, *found):
            found[bare] = f"obsp[{matrix!r}]"
    return found


def _said(entry: Any, name: str) -> str:
    """Return a text in a stored entry of uns, empty where there is none."""
    if name not in entry or not is_array(entry[name]):
        return ""
    node = entry[name]
    return str(node.asstr()[()]) if hasattr(node, "asstr") else str(np.asarray(node[()]).reshape(-1)[0])


def default_key(key: str) -> str:
    """Return the name that scanpy gives to the matrix of the graph under a key of uns."""
    return "connectivities" if key == "neighbors" else f"{key}_connectivities"


def _connectivities_key(key: str, entry: Mapping[str, Any], root: elements.Root) -> str:
    """Return which matrix of obsp a key means: what its entry in uns names, `KEY_connectivities`, or KEY itself."""
    named = str(entry.get("connectivities_key", default_key(key)))
    there = elements.obsp_keys(root)
    return key if named not in there and key in there and not entry else named


def base_neighbors(config: ClusteringConfig, recorded: Mapping[str, Any], check: Check, stored: bool) -> NeighborsSpec:
    """The configuration's graph parameters, else those recorded with the stored graph, else 15, X_pca."""
    asked, params = config.neighbors or None, recorded["params"]
    plain = {name: _scalar(value) for name, value in params.items()}
    several = plain.get("use_rep")
    if isinstance(several, Mapping):  # muon's, of the graph of several modalities
        plain["use_rep"] = None
    use_rep = (asked and asked.use_rep) or plain.get("use_rep")
    if use_rep is None and plain.get("n_pcs") == 0:
        use_rep = "X"  # what scanpy means by it
    kept = stored and not config.recompute_neighbors
    if use_rep is None and kept and config.reuses_embedding:
        if isinstance(several, Mapping):
            of = ", ".join(f"{name}: {_scalar(rep)}" for name, rep in several.items())
            check.wrong(
                f"uns[{config.neighbors_key or 'neighbors'!r}]",
                f"its graph was built from several embeddings ({of}), so it does not say which one deeper levels "
                f"and evidence are to use: {check.wording.neighbors_key('use_rep')}",
            )
        else:
            use_rep = _unrecorded(check, scanpys="n_neighbors" in plain)
    n_pcs = asked and asked.n_pcs
    if n_pcs is None and not (asked and asked.use_rep) and use_rep != "X":
        n_pcs = _count(plain.get("n_pcs"))
    given = asked.model_dump(exclude_none=True) if asked else {}
    if given and stored and not (config.uses_embedding or config.recompute_neighbors or config.recompute_umap):
        check.notices.append(
            f"the stored graph is clustered as it is, without regard to {', '.join(given)}; {check.wording.graph}"
        )
    return NeighborsSpec(
        (asked and asked.n_neighbors) or _count(plain.get("n_neighbors")) or DEFAULT_NEIGHBORS,
        str((asked and asked.metric) or RANKS_AS.get(str(plain.get("metric")), plain.get("metric")) or "euclidean"),
        EmbeddingChoice(str(use_rep or DEFAULT_REP), n_pcs),
    )


def _unrecorded(check: Check, *, scanpys: bool) -> str | None:
    """Say from which embedding a graph came that records none, by scanpy's rule: X up to 50 variables, else X_pca.

    An X_pca with as many columns as there are variables was computed when there were more of them, so the graph may
    have been as well: then nothing is told by their number.
    """
    take_own(check.root, "X", "var", f"obsm/{DEFAULT_REP}")
    shapes = elements.obsm_shapes(check.root)
    n_vars = elements.n_vars(check.root)
    wide = shapes.get(DEFAULT_REP, (0, 0))[-1] >= n_vars
    if scanpys and elements.has_x(check.root) and 0 < n_vars <= SMALL_X and not wide:
        check.notices.append(
            f"the stored graph does not say which embedding it came from; of {n_vars} variables scanpy builds it on X: "
            f"deeper levels use X ({check.wording.neighbors_key('use_rep')} for another)"
        )
        return "X"
    if [name for name in shapes if name not in (DEFAULT_REP, *DRAWINGS)]:
        check.notices.append(
            f"the stored graph does not say which embedding it came from: deeper levels use {DEFAULT_REP} "
            f"({check.wording.neighbors_key('use_rep')} for another)"
        )
    return None


def _count(value: Any) -> int | None:
    """Read a recorded number; anything that is none reads as not recorded."""
    return int(value) if isinstance(value, (int, float)) and value >= 1 else None


def _scalar(value: Any) -> Any:
    """Unwrap what older scanpy stored as an array of one element."""
    if not hasattr(value, "dtype") or np.size(value) != 1:
        return value
    return np.asarray(value).reshape(-1).tolist()[0]  # a plain value, also from an array of objects


@dataclass(frozen=True)
class FoundGraph:
    """A graph that an input holds: itself as it was read, or its key in the cache. `memory` is the key
    under which it is to be remembered."""

    graph: Graph | None = None
    key: str = ""
    memory: str | None = None
    notices: tuple[str, ...] = ()

    def n_edges(self, cache: Cache) -> int:
        """Return the number of edges, of a remembered graph as its record in the cache tells it."""
        if self.graph is not None:
            return len(self.graph.edges)
        record = find_graph(cache, self.key)
        return 0 if record is None else len(cache.array(record, "edges"))


def find_stored_graph(
    check: Check, key: str, recorded: Mapping[str, object], n_cells: int, memory: Remembered
) -> FoundGraph | None:
    """Find the stored connectivities (never the distances): remembered, or read and checked."""
    name = _connectivities_key(key, {k: v for k, v in recorded.items() if k != "params" or v}, check.root)
    place = memory.key([f"obsp/{name}"], graph=name)
    recalled = memory.recall(place)
    if recalled is not None and recalled["n_cells"] == n_cells and find_graph(memory.cache, recalled["graph"]):
        check.notices.extend(recalled["notices"])
        return FoundGraph(key=recalled["graph"])
    before = len(check.notices)
    graph = _read_graph(check, name, n_cells)
    return None if graph is None else FoundGraph(graph, memory=place, notices=tuple(check.notices[before:]))


def stage_graph(found: FoundGraph, cache: Cache, memory: Remembered) -> str:
    """Put a stored graph in the cache, unless it is there, remember it, and return its key."""
    graph = found.graph
    if graph is None:
        return found.key
    edges, weights = (ArrayRef.of(plain(array)).digest for array in (graph.edges, graph.weights))
    graph_key = stored_graph_key(graph.n_vertices, edges, weights)
    if find_graph(cache, graph_key) is None:
        write_graph(cache, graph_key, graph, "stored")
    body = {"graph": graph_key, "n_cells": graph.n_vertices, "notices": list(found.notices)}
    memory.learn(found.memory, body)
    return graph_key


def _read_graph(check: Check, name: str, n_cells: int) -> Graph | None:
    try:
        with reading(check.url, f"obsp[{name!r}]"):
            matrix = elements.read_obsp(check.root, name)
        graph, notice = from_adjacency(matrix)
    except GraphError as error:
        check.wrong(f"obsp[{name!r}]", f"{error}: mend it, or {check.wording.graph}")
        return None
    if graph.n_vertices != n_cells:
        check.wrong(f"obsp[{name!r}]", f"is for {graph.n_vertices} cells, but obs has {n_cells}")
        return None
    if notice:
        check.notices.append(f"obsp[{name!r}]: {notice}")
    if n_cells > 1 and not len(graph.edges):
        check.notices.append(f"obsp[{name!r}]: the graph has no edges, so all cells are one cluster at level 1")
    return graph

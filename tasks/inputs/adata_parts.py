"""Which parts of an AnnData in memory the inspection, and what follows it, will read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.elements.in_memory import InMemory, Parts, in_memory, log_base_of
from cellstrata.tasks.elements.reading import HIGHLY_VARIABLE
from cellstrata.tasks.inputs.checks import columns_of
from cellstrata.tasks.inputs.stored_graph import DEFAULT_REP, SMALL_X, default_key

if TYPE_CHECKING:
    import anndata as ad


def opened_adata(adata: ad.AnnData, config: ClusteringConfig) -> InMemory:
    """Copy what will be read of an AnnData for a clustering as it is configured."""
    records = {name: _graph_record(adata, name, entry) for name, entry in adata.uns.items() if "/" not in name}
    graphs = {name: said for name, said in records.items() if said}
    key = config.neighbors_key or "neighbors"
    recorded = graphs.get(key, {})
    named = {DEFAULT_REP, *_texts(config.model_dump(mode="json")), *_texts(recorded)}
    derived = config.embeddings_of_clusters
    values = [*derived, *([config.expression] if config.asks_child_markers else [])]
    whole_x = (
        "X" in named
        or DEFAULT_REP not in adata.obsm
        or adata.n_vars <= SMALL_X  # on which scanpy builds its graphs
        or recorded.get("params", {}).get("n_pcs") == 0
        or any(asked.layer is None and not asked.raw for asked in values)
    )
    connectivities = recorded.get("connectivities_key") or default_key(key)
    base = log_base_of(adata)
    parts = Parts(
        obs=[*config.batch_keys, *(asked.batch_key for asked in derived if asked.batch_key), *(
            () if config.overwrite else columns_of(config)
        )],
        var=[HIGHLY_VARIABLE],
        obsm=[name for name in adata.obsm if name in named],
        obsp=() if config.recompute_neighbors else (str(connectivities), key),
        layers=[asked.layer for asked in values if asked.layer is not None],
        x=whole_x,
        raw=any(asked.raw for asked in values),
        uns=graphs | ({} if base is None else {"log1p": {"base": base}}),
    )  # fmt: skip
    return in_memory(adata, parts)


def _graph_record(adata: ad.AnnData, name: str, entry: Any) -> dict[str, Any]:
    """Return what an entry of uns says of a graph, empty where it is of something else."""
    if not isinstance(entry, Mapping):
        return {}
    of_graph = name == "neighbors" or "connectivities_key" in entry or f"{name}_connectivities" in adata.obsp
    return _plain(entry) if of_graph else {}


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts and numbers of a record of a graph: its other values may be anything."""
    found: dict[str, Any] = {}
    for name, value in entry.items():
        if hasattr(value, "compute") and getattr(value, "size", 0) == 1:  # of a lazy AnnData
            value = np.asarray(value.compute())
        if isinstance(value, Mapping):
            found[str(name)] = _plain(value)
        elif isinstance(value, (str, bool, int, float, np.generic)) or (
            isinstance(value, np.ndarray) and value.size == 1
        ):
            found[str(name)] = value
    return found


def _texts(value: object) -> Iterator[str]:
    """Yield all texts within JSON values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, np.ndarray):
        yield from map(str, value.reshape(-1).tolist())
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)

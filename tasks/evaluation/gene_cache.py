"""Genes that were read once: to find a few in X takes a pass over all of it, so the cache keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.cache.cache import Cache, DamagedEntry
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.evaluation.covariates import Numbers
from cellstrata.tasks.evaluation.gene_values import read_genes
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.states import ZarrListing


@dataclass(frozen=True)
class GeneSource:
    """An input whose genes a cache keeps; `fresh` has them read again all the same."""

    opened: Opened
    cache: Cache
    fresh: bool = False

    def state(self) -> dict[str, object]:
        """Return what the store says of X and of the genes' names, without reading them.

        Of an overlay that is its document: that what it refers to is unchanged is seen when it is opened.
        """
        said, store = self.opened.identity_now(), self.opened.place.store
        if self.opened.kind != "zarr":
            return said
        if not store.is_local:
            said["metadata"] = "own"  # earlier entries may be of what consolidated metadata said
        return {**said, **{slot: ZarrListing.of(store, slot).state(slot).digest for slot in ("X", "var")}}


def kept_genes(root: elements.Root, names: Sequence[str], source: GeneSource) -> list[Numbers]:
    """Return what `read_genes` does; those that the cache has of the same X are not read again.

    `root` is the input, or a result made from it.
    """
    if not names or not elements.has_x(root):
        return []
    state = source.state()
    keys = {name: gene_key(state, name) for name in names}
    found = {} if source.fresh else {name: kept for name in names if (kept := _kept(source.cache, keys[name]))}
    missing = [name for name in names if name not in found]
    for gene in read_genes(root, missing) if missing else []:
        source.cache.write_record("gene", keys[gene.name], {"gene": gene.name}, {"values": _small(gene.values)})
        found[gene.name] = gene
    return [found[name] for name in names if name in found]


def gene_key(state: dict[str, object], name: str) -> str:
    """Return the key of a gene's values in an input of which the store says this."""
    return digest_values(kind="gene", input=state, name=name)


def _kept(cache: Cache, key: str) -> Numbers | None:
    record = cache.find(key, "gene")
    if record is None:
        return None
    try:
        return Numbers(str(record.body["gene"]), np.array(cache.array(record, "values"), np.float64))
    except DamagedEntry:
        return None


def _small(values: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Return float32 values where nothing is lost by it."""
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)
    return small if np.array_equal(small.astype(np.float64), values, equal_nan=True) else values

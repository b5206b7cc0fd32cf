"""Which datasets use which entries of a cache: a small note for each result, for people alone.

A split's key depends neither on a file nor on a dataset, so that datasets share their splits; who
uses what is therefore written down when a result has been published, as `v1/datasets/<id>.json`:
{"name", "output", "keys" (of the splits, level 1's graph and its neighbours), "arrays" (the digests of
embeddings, PCA and UMAP), "written"}. The graphs of sub-clusters and the bundles follow from the splits'
records. Nothing is ever looked up through these notes but by `cellstrata cache`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellstrata.tasks.cache.record import SCHEME
from cellstrata.tasks.stores.objects import StoredObject

if TYPE_CHECKING:
    pass

DATASETS = f"v{SCHEME}/datasets"


@dataclass(frozen=True)
class DatasetUse:
    """What one result of a dataset is made of: keys of entries and digests of arrays."""

    stored: StoredObject
    name: str
    output: str
    keys: frozenset[str]
    arrays: frozenset[str]


def parse_use(raw: bytes, stored: StoredObject) -> DatasetUse:
    """Read a note.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        said = json.loads(raw)
        name, output = (_shown(said[key]) for key in ("name", "output"))
        return DatasetUse(stored, name, output, frozenset(map(str, said["keys"])), frozenset(map(str, said["arrays"])))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _shown(text: object) -> str:
    """Text that does nothing to a terminal: the cache may be shared."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))

"""What came of deriving an embedding of a cluster's own: the embedding, or why its cells have none."""

from __future__ import annotations

from dataclasses import dataclass

from cellstrata.tasks.cache.cache import ArrayRef

NO_EMBEDDING = "no embedding of its own"


@dataclass(frozen=True)
class OwnEmbedding:
    """An embedding of a cluster's own: the key of its entry in the cache, and of its (n, d) float32 array.

    `note` says what was asked for and could not be done.
    """

    key: str
    values: ArrayRef
    note: str | None = None


@dataclass(frozen=True)
class NoEmbedding:
    """That none can be derived from a cluster's cells, and why; the key of the entry that says so."""

    key: str
    problem: str

    @property
    def reason(self) -> str:
        """Why the cluster stays whole, as the tree has it."""
        return f"{NO_EMBEDDING}: {self.problem}"

"""Warnings about clusters, which name them by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST = 20  # clusters of a column that a warning names


@dataclass(frozen=True)
class NamedClusters:
    """What is said of some clusters, and which they are, as text by column; `place` names the warning on the page."""

    place: str
    said: str
    which: tuple[tuple[str, str], ...]


def listed(clusters: Sequence[str]) -> str:
    """Return the first of some clusters, each with what is said of it, and how many there are more."""
    more = f" and {len(clusters) - MOST:,} more" if len(clusters) > MOST else ""
    return f"{', '.join(clusters[:MOST])}{more}"

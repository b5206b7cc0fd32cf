"""The order in which people expect names: 2 before 10, 1_2 before 1_10, `Donor 9` before `Donor 10`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"([0-9]+)")


def natural(names: Iterable[str]) -> list[str]:
    """Return names in natural order; digits count as numbers, case does not matter."""
    return sorted(names, key=_parts)


def _parts(name: str) -> tuple[list[tuple[int, int, str]], str]:
    pieces = [piece for piece in _NUMBER.split(name.casefold()) if piece]
    return [(0, int(piece), "") if piece.isdecimal() and piece.isascii() else (1, 0, piece) for piece in pieces], name

"""What a format is: how its files end, what it is for, and what writes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cellstrata.tasks.exports.levels import Exported
from cellstrata.tasks.stores.places import Place


@dataclass(frozen=True)
class Written:
    """What a file has: columns or trees, in words, and what the user should know."""

    what: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format.

    `endings` are those of its files, the first by default; `about` is what it is for, in a line; `write` writes what is
    exported to a place where nothing is, in one step, and raises InputError or OutputError before, where it cannot.
    """

    endings: tuple[str, ...]
    about: str
    write: Callable[[Exported, Place], Written]

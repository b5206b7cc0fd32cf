"""Pieces of HTML from plain values; every text that comes from outside is escaped here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A table cell: what is shown, what it is sorted by, and how strongly it is coloured, 0 to 1."""

    text: str
    order: float | str | None = None
    heat: float | None = None


def text(value: object) -> str:
    """Escape a text for an element or a quoted attribute."""
    return html.escape(str(value).replace("\0", "\ufffd"), quote=True)


LONG = 36  # characters from which on a value has a line of its own, as have paths


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list of terms and what they are."""
    rows = "".join(
        f"<div{' class=long' * (len(value) >= LONG or '/' in value)}><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
        for name, value in pairs
    )
    return f"<dl>{rows}</dl>"


def table(caption: str, names: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table that sorts; the first cell of each row is its header."""
    rows = list(rows)
    numeric = [any(isinstance(row[at].order, float | int) for row in rows) for at in range(len(names))]
    head = "".join(
        f'<th scope="col"{" class=number" * number}>{text(name)}</th>'
        for name, number in zip(names, numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(_cell(cell, not at) for at, cell in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">'
        f'<table class="sorts"><caption>{text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(cell: Cell, first: bool) -> str:
    number = isinstance(cell.order, float | int)
    order = f' data-order="{text(cell.order)}"' if cell.order is not None else ""
    heat = f' style="--heat:{cell.heat:.3f}"' if cell.heat is not None else ""
    kind = " ".join(["number"] * number + ["heat"] * (cell.heat is not None))
    kind = f' class="{kind}"' if kind else ""
    return (
        f'<th scope="row"{order}>{text(cell.text)}</th>' if first else f"<td{kind}{order}{heat}>{text(cell.text)}</td>"
    )


def embedded(value: Any) -> str:
    """Return JSON that may stand within a script element."""
    found = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return found.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

"""Single values that scAtlasTb took otherwise than YAML 1.2 and this schema do."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite

from cellstrata.configs.errors import shown

Note = Callable[[str], None]

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WHOLE = re.compile(r"[-+]?[0-9][0-9_]*", re.ASCII)


def as_switch(value: object, note: Note) -> object:
    """Return true or false where the text or the number 1 or 0 stands for it; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool) and value in (0, 1):
        note(f"{shown(value)} is written as {shown(bool(value))}.")
        return bool(value)
    truth = _TRUTH.get(value.strip().lower()) if isinstance(value, str) else None
    if truth is None:
        return value
    if truth:
        note(f"the text {shown(value)} is written as `true`.")
    else:
        note(f"the text {shown(value)} is written as `false`, though scAtlasTb took every quoted text as true.")
    return truth


def as_number(value: object, note: Note) -> object:
    """Return the number that a text spells, such as "0.5" or `100_000` (a number in YAML 1.1)."""
    if isinstance(value, list):
        return [as_number(item, note) for item in value]
    if not isinstance(value, str):
        return value
    number: int | float
    try:
        number = int(value.replace("_", "")) if _WHOLE.fullmatch(value.strip()) else float(value)
    except ValueError:
        return value
    if not isfinite(number):
        return value
    note(f"the text {shown(value)} is written as the number {number}.")
    return number

"""Spans of time and sizes as people write them: `30d`, `50GB`."""

from __future__ import annotations

import re

from cellstrata.configs.errors import ConfigError, Problem, shown

_SPANS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_DECIMAL = ("B", "KB", "MB", "GB", "TB", "PB")
_SIZES = {"": 1, **{unit: 1000**n for n, unit in enumerate(_DECIMAL)}}
_SIZES |= {f"{unit[0]}IB": 1024**n for n, unit in enumerate(_DECIMAL) if n}
_AMOUNT = re.compile(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([a-z]*)\s*", re.IGNORECASE | re.ASCII)


def seconds_of(text: str, source: str) -> float:
    """Read a span of time, such as 30d, 12h, 2w or 90m (minutes), in seconds. Raises ConfigError."""
    number, unit = _parts(text)
    if unit.lower() not in _SPANS:
        raise _refused(text, source, "a time", "30d, 12h, 2w or 90m (minutes)")
    return float(number) * _SPANS[unit.lower()]


def bytes_of(text: str, source: str) -> int:
    """Read a size, such as 50GB, 500MB, 1.5TiB or plain bytes. Raises ConfigError."""
    number, unit = _parts(text)
    if not number or unit.upper() not in _SIZES:
        raise _refused(text, source, "a size", "50GB, 500MB, 1.5TiB or a number of bytes")
    return int(number) * _SIZES[unit.upper()] if "." not in number else int(float(number) * _SIZES[unit.upper()])


def size_text(size: int) -> str:
    """Write a number of bytes for people: 12.3 MB."""
    if abs(size) < 1000:
        return f"{size} B"
    value, power = float(size), 0
    while abs(value) >= 999.5 and power < len(_DECIMAL) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.{0 if abs(value) >= 99.5 else 1}f} {_DECIMAL[power]}"


def _parts(text: str) -> tuple[str, str]:
    match = _AMOUNT.fullmatch(text)
    return (match[1], match[2]) if match else ("", "")


def _refused(text: str, source: str, what: str, examples: str) -> ConfigError:
    return ConfigError([Problem((), f"must be {what}, not {shown(text)}", f"write {source} {examples}", source=source)])

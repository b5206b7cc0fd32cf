"""What is wrong with a configuration, in words for the person who wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Path = tuple[str | int, ...]

MOST_LINES = 10


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it was written, what it is, and what to write instead."""

    path: Path
    message: str
    suggestion: str | None = None
    line: int | None = None
    source: str | None = None
    """Where it was written if not in the file: an option or an environment variable."""

    def __str__(self) -> str:
        where = self.source or (f"line {self.line}" if self.line else "")
        name = dotted(self.path)
        head = f"{name} ({where})" if name and where else name or where
        text = f"{head}: {self.message}" if head else self.message
        return f"{text}; {self.suggestion}" if self.suggestion else text


class ConfigError(ValueError):
    """The user's configuration cannot be used; `problems` holds every reason found."""

    def __init__(self, problems: Iterable[Problem], name: str | None = None) -> None:
        self.problems = list(dict.fromkeys(problems))
        self.name = name
        super().__init__(self.problems, name)  # the arguments, so that it can be pickled

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.name:
            count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
            lines.insert(0, f"{self.name}: {count}")
        return "\n".join(at_most(lines))


def at_most(lines: Sequence[str], most: int = MOST_LINES) -> list[str]:
    """Shorten a list of lines to `most`, the last of which then says how many are left out."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], f"… and {len(lines) - most + 1} more"]


def listed(names: Sequence[str], most: int, joint: str = ", ") -> str:
    """Join names, of many the first `most`: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return joint.join(names[:most]) + more


def dotted(path: Path) -> str:
    """Write a path as the user would say it: `DATASETS.lung.clustering.resolutions[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (f'"{part}"' if "." in part or not part else part)
    return text


def did_you_mean(word: object, known: Iterable[str]) -> str | None:
    """Name the known word nearest to `word`, whatever its case, or None if nothing is near."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), names, n=1, cutoff=0.6)
    return f"did you mean `{names[near[0]]}`?" if near else None


def one_of(words: Sequence[str]) -> str:
    """Write a list of alternatives: `a`, `b` or `c`."""
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def shown(value: object) -> str:
    """Show a wrong value shortly, spelled as in YAML where that is easy."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"

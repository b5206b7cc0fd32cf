"""The index of a run: its datasets, what came of each, and where its report is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import quote

from cellstrata.tasks.report.documents import document
from cellstrata.tasks.report.places import shown_place


@dataclass(frozen=True, kw_only=True)
class IndexRow:
    """A dataset of a run: where its result and report are (empty without), its columns with their clusters,
    and what was said of it, or why it failed."""

    name: str
    report: str = ""
    result: str = ""
    clusters: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    error: str = ""

    def identity(self) -> dict[str, object]:
        """Return all that the index shows of it."""
        return asdict(self) | {"clusters": dict(self.clusters), "notices": list(self.notices)}


def index_page(entries: Sequence[IndexRow], images: str, made: str, key: str) -> bytes:
    """Return the index as UTF-8; its links are relative to `images`, where it stands."""
    failed = [(entry.name, entry.error) for entry in entries if entry.error]
    noted = [(entry.name, notice) for entry in entries for notice in entry.notices]
    n_failed = f", {len(failed)} failed" if failed else ""
    summary = f"{len(entries)} dataset{'s' * (len(entries) != 1)}{n_failed}; written {made}"
    rows = [_row(entry, images) for entry in entries]
    return document(
        "index.html", key, ("dom", "theme"), rows=rows, said=[*failed, *noted], summary=summary
    ).encode()  # fmt: skip


def _row(entry: IndexRow, images: str) -> dict[str, str]:
    below = entry.report.startswith(f"{images}/")
    return {
        "name": entry.name,
        "link": quote(entry.report.removeprefix(f"{images}/")) if below else "",
        "status": "failed" if entry.error else "done, with warnings" if entry.notices else "done",
        "columns": ", ".join(f"{name} ({n:,})" for name, n in entry.clusters.items()),
        "result": shown_place(entry.result) if entry.result else "",
    }

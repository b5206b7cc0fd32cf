"""What was drawn, beside the figures: on what each depends, so that what has not changed is not drawn again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from cellstrata.tasks.figures.request import FigureRequest
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.stores.store import Store

RECORD = "figures.json"


@dataclass(frozen=True, kw_only=True)
class DrawnFigures:
    """The figures of a result: their paths within `folder`, and how many files were drawn just now.

    `previews` are small images, as `data:` URLs by title; `skipped` says what was not drawn, and why.
    """

    folder: str
    figures: tuple[str, ...]
    drawn: int
    seconds: float
    previews: Mapping[str, str]
    skipped: tuple[str, ...]

    @classmethod
    def of(cls, folder: str, record: FigureRecord, *, drawn: int, seconds: float) -> DrawnFigures:
        """Take what the record of a folder says."""
        return cls(
            folder=folder,
            figures=tuple(record.figures),
            drawn=drawn,
            seconds=seconds,
            previews=record.previews,
            skipped=record.skipped,
        )


@dataclass(frozen=True)
class FigureRecord:
    """`request` is the digest of what was asked for; `figures` are the digests of what each depends on, by file;
    `previews` small images, as `data:` URLs by title; `skipped` what was not drawn, and why.
    """

    request: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    previews: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def read_figure_record(folder: Store) -> FigureRecord:
    """Read the record of a folder; empty where there is none, or none of ours."""
    try:
        found = json.loads(folder.read(RECORD))
        if found["made_by"] != MADE_BY:
            return FigureRecord()
        previews = {str(title): str(image) for title, image in found["previews"].items()}
        figures = {str(path): str(digest) for path, digest in found["figures"].items()}
        return FigureRecord(str(found["request"]), figures, previews, tuple(map(str, found["skipped"])))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return FigureRecord()


def write_figure_record(folder: Store, record: FigureRecord) -> None:
    """Write the record, when all figures are there."""
    document = {
        "made_by": MADE_BY,
        "request": record.request,
        "figures": record.figures,
        "previews": record.previews,
        "skipped": record.skipped,
    }
    folder.write(RECORD, json.dumps(document, indent=1).encode())


def files_there(folder: Store, figures: Mapping[str, str]) -> set[str]:
    """Return which of these figures are there."""
    parents = {path.rpartition("/")[0] for path in figures}
    return {f"{parent}/{name}" for parent in parents for name in folder.list(parent)} & set(figures)


def find_figures(request: FigureRequest) -> DrawnFigures | None:
    """Return what `draw_figures` would if exactly these figures are there already, without reading the result."""
    folder = Store.at(request.folder, request.storage_options)
    record = read_figure_record(folder)
    if record.request != request.digest() or files_there(folder, record.figures) != set(record.figures):
        return None
    return DrawnFigures.of(request.folder, record, drawn=0, seconds=0.0)

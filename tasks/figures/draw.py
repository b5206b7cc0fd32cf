"""Drawing a result's figures, those alone that have changed; runs in a process of its own, where matplotlib is."""

from __future__ import annotations

import base64
import io
import time

from cellstrata.tasks.figures.cells import read_cells
from cellstrata.tasks.figures.record import (
    DrawnFigures,
    FigureRecord,
    files_there,
    read_figure_record,
    write_figure_record,
)
from cellstrata.tasks.figures.request import FigureRequest
from cellstrata.tasks.figures.sheet import Sheet, unknown_letters
from cellstrata.tasks.figures.wanted import Gallery, Wanted
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.store import Store

LETTERS = 12  # that are named
PREVIEW_WIDTH, PREVIEW_QUALITY = 520, 75


def draw_figures(request: FigureRequest) -> DrawnFigures:
    """Draw what is missing or has changed, and remove what is no longer asked for.

    Raises
    ------
    DataError
        If the result cannot be read.
    """
    started = time.perf_counter()
    folder = Store.at(request.folder, request.storage_options)
    older = read_figure_record(folder)
    there = files_there(folder, older.figures)
    cells = read_cells(request)
    figures: dict[str, str] = {}
    previews: dict[str, str] = {}
    drawn, skipped = 0, list(cells.skipped)
    for wanted in Gallery(cells).figures():
        files = wanted.files
        same = all(file in there and older.figures.get(file) == wanted.depends for file in files)
        if not (same and (not wanted.preview or wanted.preview in older.previews)):
            try:
                png = _write(folder, wanted, wanted.draw())
                if wanted.preview:
                    previews[wanted.preview] = preview(png)
            except OSError:
                raise
            except Exception as error:  # one that fails costs no other
                skipped.append(f"{wanted.path}: {type(error).__name__}: {error}")
                continue
            drawn += len(files)
        elif wanted.preview:
            previews[wanted.preview] = older.previews[wanted.preview]
        figures |= dict.fromkeys(files, wanted.depends)
    if lacking := unknown_letters(cells.texts()):
        few = lacking if len(lacking) <= LETTERS else f"{lacking[:LETTERS]} and {len(lacking) - LETTERS} more"
        skipped.append(f"letters that the figures' font lacks (boxes stand for them): {few}")
    for file in there - set(figures):
        folder.remove(file)
    record = FigureRecord(request.digest(), figures, previews, tuple(skipped))
    write_figure_record(folder, record)
    return DrawnFigures.of(request.folder, record, drawn=drawn, seconds=round(time.perf_counter() - started, 3))


def _write(folder: Store, wanted: Wanted, sheet: Sheet) -> bytes:
    """Write a figure in its forms; returns the PNG."""
    png = sheet.png()
    for form, file in zip(wanted.forms, wanted.files, strict=True):
        folder.write(file, png if form == "png" else sheet.svg())
    return png


def preview(png: bytes) -> str:
    """Return a small copy of an image, at most 520 pixels wide, as a `data:` URL."""
    with IMPORTING:
        from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((PREVIEW_WIDTH, PREVIEW_WIDTH * 4))
    data = io.BytesIO()
    image.save(data, "webp", quality=PREVIEW_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"

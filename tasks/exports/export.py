"""A result in another format: checked first, then written in one step to a place where nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cellstrata.configs.errors import did_you_mean, one_of
from cellstrata.tasks.elements.linked_anndata import check_links
from cellstrata.tasks.exports.format import Format
from cellstrata.tasks.exports.formats import FORMATS
from cellstrata.tasks.exports.levels import exported
from cellstrata.tasks.results.names import result_names
from cellstrata.tasks.results.record import read_result
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.new_file import cannot_be_written
from cellstrata.tasks.stores.places import Place


@dataclass(frozen=True)
class Export:
    """Where the file is, what it has, of how many cells, and what the user should know."""

    output: str
    what: str
    n_cells: int
    notices: tuple[str, ...]


def export_result(
    result: Place, to: str, output: Place | None = None, *, columns: Sequence[str] = (), ids: bool = False
) -> Export:
    """Write a result in another format; the result stays as it is, and so does what is at `output`.

    Parameters
    ----------
    result
        A result of `run`, `cluster`, `collect` or `curate`, or an AnnData that was written after `cs.tl.cluster`.
    to
        The name of a format, a key of `FORMATS`.
    output
        The file to write. Default: the result's name in the working directory.
    columns
        Columns of clusters; in a tree a column stands for all levels down to it. Default: all.
    ids
        Whether trees are of clusters by their ids, though they have names.

    Raises
    ------
    InputError
        If the result is none of cellstrata, has no such column, or several trees where the format takes one.
    OutputError
        If there is no such format, something is at the output, or it cannot be written.
    """
    form = format_named(to)
    place = output or result.at(f"{result_names([result.url])[0]}{form.endings[0]}")
    if problem := cannot_be_written(place, form.endings, sources=(result.url,), overwrite=None):
        raise OutputError("", "", problem)
    found = exported(read_result(result), columns, ids=ids)
    if found.record.source.kind == "zarr":
        check_links(found.record.source.place.store)
    written = form.write(found, place)
    others = [url for url, _ in found.record.collected[1:]]
    notices = [f"columns of other results that were collected are left out; export these: {', '.join(others)}"]
    return Export(place.url, written.what, len(found.names), (*written.notices, *(notices if others else ())))


def format_named(name: str) -> Format:
    """Return a format by its name. Raises OutputError for one that is not known."""
    if name not in FORMATS:
        raise OutputError("", "--to", f"{name!r} is no format; {did_you_mean(name, FORMATS) or one_of(list(FORMATS))}")
    return FORMATS[name]

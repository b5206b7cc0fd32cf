"""`cellstrata compare`: how two columns of a result, or two results of the same cells, agree."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.new_file import cannot_be_written
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import argparse

    from cellstrata.tasks.evaluation.compared_results import ComparedPair, ComparedResults
    from cellstrata.tasks.evaluation.comparison import Partners
    from cellstrata.tasks.evaluation.covariates import Categories

MOST_GROUPS = 40  # that are shown in a table; the JSON has all
LONGEST = 24  # characters of a file's name in that of a column
MOST_ACROSS = 12  # columns of a table of counts that find room
ENDINGS = {"html": (".html",), "figure": (".png", ".svg"), "cells": (".parquet",)}


def compare(options: argparse.Namespace) -> int:
    """Compare columns, show how they agree, and write what is asked for; returns the exit code."""
    terminal = Terminal(as_json=options.as_json, verbose=False)
    with Attempt(terminal, interrupted="interrupted; run again") as attempt:
        from cellstrata.tasks.evaluation.compared_results import compare_columns, compare_results

        sealed = Sealed(storage_options(os.environ))
        places = [Place(sealed.url(url), sealed.options) for url in (options.result, options.other) if url is not None]
        wanted = {what: Place(sealed.url(url), sealed.options) for what in ENDINGS if (url := getattr(options, what))}
        _check(wanted, places, overwrite=options.overwrite)
        asked, named = tuple(options.columns or ()), "cells" in wanted
        called = _called([place.url for place in places])
        with terminal.status(f"reading {' and '.join(place.url for place in places)}"):
            if len(places) == 1:
                found = compare_columns(places[0], asked, with_names=named)
            else:
                found = compare_results(places[0], places[1], asked, called=(called[0], called[1]), with_names=named)
            if "figure" in wanted and len(found.pairs) > 1:
                pairs = f"{len(found.pairs)} pairs of columns are compared, and a figure shows one"
                raise OutputError(
                    wanted["figure"].url, "", f"{pairs}; name two columns with --columns, or write --html"
                )
            about = tuple(zip(called, (place.url for place in places), strict=True))
            _write(found, wanted, about)
    if attempt.code:
        return attempt.code
    for notice in _notices(found):
        terminal.notice(notice)
    written = {what: place.url for what, place in wanted.items()}
    if options.as_json:
        print(json.dumps(document(found) | {"written": written}), flush=True)
        return DONE
    _show(found, terminal)
    for what, url in (*(about if len(about) > 1 else ()), *written.items()):
        terminal.show(f"{escape(what):<7} {escape(url)}")
    return DONE


def _called(urls: list[str]) -> tuple[str, ...]:
    """Return short names for the files: their own where these are short, and tell them apart."""
    from cellstrata.tasks.results.names import result_names

    names = tuple(result_names(urls))
    short = len(set(names)) == len(names) and max(map(len, names)) <= LONGEST
    return ("result",) if len(urls) == 1 else names if short else ("A", "B")


def _check(wanted: dict[str, Place], places: list[Place], *, overwrite: bool) -> None:
    sources = [place.url for place in places]
    problems = [
        problem
        for what, place in wanted.items()
        if (problem := cannot_be_written(place, ENDINGS[what], sources=sources, overwrite=overwrite))
    ]
    if problems:
        raise OutputError("", "", "\n".join(problems))


def _write(found: ComparedResults, wanted: dict[str, Place], about: tuple[tuple[str, str], ...]) -> None:
    """Write each file that is asked for, in one step each."""
    if "html" in wanted:
        from cellstrata.tasks.report.comparison import comparison_page

        wanted["html"].store.write("", comparison_page(found, about, _notices(found)))
    if "figure" in wanted:
        from cellstrata.tasks.figures.comparison_figure import comparison_sheet

        sheet = comparison_sheet(found.pairs[0])
        wanted["figure"].store.write("", sheet.svg() if wanted["figure"].url.endswith(".svg") else sheet.png())
    if "cells" in wanted and found.names is not None:
        from cellstrata.tasks.publishing.labels_parquet import write_labels_parquet

        columns = {f"{pair.first.column}~{pair.second.column}": pair.comparison.of_cells() for pair in found.pairs}
        write_labels_parquet(wanted["cells"], found.names, columns)


def _notices(found: ComparedResults) -> list[str]:
    told = []
    cells = found.cells
    if cells is not None and cells.only_first + cells.only_second:
        told.append(
            f"{cells.shared:,} cells are compared; {cells.only_first:,} of the first and {cells.only_second:,} of the "
            "second are in one alone"
        )
    for pair in found.pairs:
        lost = pair.comparison.left_out
        parts = ((lost.only_first, f"in {pair.first.title}"), (lost.only_second, f"in {pair.second.title}"),
                 (lost.both, "in both"))  # fmt: skip
        if lost.n_cells:
            said = ", ".join(f"{n:,} have no value {where}" for n, where in parts if n)
            told.append(f"{pair.title}: {lost.n_cells:,} cells are left out: {said}")
    return told


def document(found: ComparedResults) -> dict[str, Any]:
    """Return what `--json` prints: all numbers, and the counts of the pairs of groups that share cells."""
    cells = found.cells
    return {
        "pairs": [_pair(pair) for pair in found.pairs],
        "cells": None if cells is None else {
            "shared": cells.shared, "only_first": cells.only_first, "only_second": cells.only_second,
        },
    }  # fmt: skip


def _pair(pair: ComparedPair) -> dict[str, Any]:
    one = pair.comparison
    agreement, lost, table = one.agreement, one.left_out, one.table
    return {
        "first": {"file": pair.first.url, "column": pair.first.column},
        "second": {"file": pair.second.url, "column": pair.second.column},
        "cells": agreement.n_cells,
        "left_out": {"only_first": lost.only_first, "only_second": lost.only_second, "both": lost.both},
        "ari": agreement.ari, "nmi": agreement.nmi, "v_measure": agreement.v_measure,
        "homogeneity": agreement.homogeneity, "completeness": agreement.completeness,
        "element_centric": {"mean": one.similarity, "quartiles": list(one.quartiles)},
        "groups_of_first": _groups(one.of_first, one.first, one.second),
        "groups_of_second": _groups(one.of_second, one.second, one.first),
        "contingency": [
            [one.first.labels[row], one.second.labels[column], int(n)]
            for row, column, n in zip(table.rows, table.columns, table.counts, strict=True)
        ],
    }  # fmt: skip


def _groups(of: Partners, own: Categories, other: Categories) -> list[dict[str, Any]]:
    return [
        {
            "group": label, "cells": int(of.every[at]), "compared": int(of.sizes[at]),
            "best": None if of.best[at] < 0 else other.labels[of.best[at]], "shared": int(of.shared[at]),
            "jaccard": float(of.jaccard[at]), "element_centric": _number(of.similarity[at]),
        }
        for at, label in enumerate(own.labels)
    ]  # fmt: skip


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _show(found: ComparedResults, terminal: Terminal) -> None:
    """Print a row for each pair, and of a single pair what becomes of each group."""
    names = ("columns", "cells", "ARI", "NMI", "homogeneity", "completeness", "element-centric")
    table = _table(names)
    for pair in found.pairs:
        one, agreement = pair.comparison, pair.comparison.agreement
        values = (agreement.ari, agreement.nmi, agreement.homogeneity, agreement.completeness, one.similarity)
        table.add_row(escape(pair.title), f"{agreement.n_cells:,}", *(f"{value:z.3f}" for value in values))
    terminal.show(table)
    if len(found.pairs) > 1:
        return
    pair = found.pairs[0]
    one = pair.comparison
    terminal.show("", _partners(pair.first.title, pair.second.title, one.of_first, one.first, one.second))
    terminal.show("", _partners(pair.second.title, pair.first.title, one.of_second, one.second, one.first))
    if len(one.second.labels) <= MOST_ACROSS and len(one.first.labels) <= MOST_GROUPS:
        terminal.show("", _counts(pair))


def _partners(title: str, other_title: str, of: Partners, own: Categories, other: Categories) -> Table:
    table = _table((escape(title), "cells", "best", "of both", "Jaccard", "element-centric"), caption=(
        f"what each group is in {escape(other_title)}" + (
            f"; the first {MOST_GROUPS} of {len(own.labels):,}, --json has all" * (len(own.labels) > MOST_GROUPS)
        )
    ))  # fmt: skip
    table.columns[2].justify = "left"
    for at, label in list(enumerate(own.labels))[:MOST_GROUPS]:
        best = "" if of.best[at] < 0 else other.labels[of.best[at]]
        similarity = "" if math.isnan(of.similarity[at]) else f"{of.similarity[at]:.3f}"
        table.add_row(
            escape(label), f"{of.every[at]:,}", escape(best), f"{of.shared[at]:,}", f"{of.jaccard[at]:.3f}", similarity
        )
    return table


def _counts(pair: ComparedPair) -> Table:
    one = pair.comparison
    counts = {
        (row, column): n for row, column, n in zip(one.table.rows, one.table.columns, one.table.counts, strict=True)
    }
    table = _table(("cells", *map(escape, one.second.labels)))
    for row, label in enumerate(one.first.labels):
        cells = (counts.get((row, column), 0) for column in range(len(one.second.labels)))
        table.add_row(escape(label), *(f"{n:,}" if n else "" for n in cells))
    return table


def _table(names: tuple[str, ...], caption: str | None = None) -> Table:
    """Return an empty table whose first column is text and whose others are numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=caption, title_justify="left", title_style="dim")
    for at, name in enumerate(names):
        table.add_column(name, overflow="fold", justify="right" if at else "left")
    return table

"""Which resolution to take, as a page tells it: a sentence, a chart and a table for each algorithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.advice.candidates import JudgedResolution, comparable
from cellstrata.tasks.advice.sentence import number
from cellstrata.tasks.report.tables import Cell, Table

WIDE, HIGH, LEFT, TOP, BELOW = 720, 210, 40, 22, 34  # pixels of a chart
LINES = (
    ("replicability", "halves with one another", "replicability"),
    ("recovered", "halves with all cells", "recovered"),
    ("expected", "halves of clouds without groups", "of-a-cloud"),
    ("stability", "stability between runs", "of-runs"),
)

REFUSED = "does\u00a0not\u00a0stand"


@dataclass(frozen=True)
class Dot:
    """A resolution in a chart: where it stands, what its tip says, and `advised`, `candidate` or nothing."""

    x: float
    y: float
    tip: str
    kind: str


@dataclass(frozen=True)
class Line:
    """A measure by resolution: the points of a polyline, and its name."""

    kind: str
    name: str
    points: str


@dataclass(frozen=True)
class Chart:
    """How far the clusters of each resolution are found again, from 0 to 1 upwards.

    `bands` are the left ends and widths of plateaus, `ticks` where resolutions and numbers of clusters are written.
    """

    about: str
    lines: tuple[Line, ...]
    dots: tuple[Dot, ...]
    bands: tuple[tuple[float, float], ...]
    ticks: tuple[tuple[float, str, str], ...]
    width: int = LEFT + WIDE + 20
    height: int = TOP + HIGH + BELOW
    left: int = LEFT
    top: int = TOP
    wide: int = WIDE
    high: int = HIGH


@dataclass(frozen=True)
class Resolutions:
    """The section of one algorithm; without `chart` nothing was measured."""

    algorithm: str
    said: str
    chart: Chart | None
    table: Table


def resolutions_of(advice: Sequence[Advice]) -> list[Resolutions]:
    """Return the section of each algorithm."""
    return [Resolutions(one.algorithm, one.said, _chart(one), _table(one)) for one in advice]


def _chart(advice: Advice) -> Chart | None:
    rows = comparable(advice.resolutions)
    if len(rows) < 2:
        return None
    first, last = (math.log(row.resolution) for row in (advice.resolutions[0], advice.resolutions[-1]))

    def x(row: JudgedResolution) -> float:
        return round(LEFT + 20 + (WIDE - 40) * (math.log(row.resolution) - first) / (last - first), 1)

    def y(value: float) -> float:
        return round(TOP + HIGH * (1 - min(max(value, 0.0), 1.0)), 1)

    lines = []
    for name, label, kind in LINES:
        known = [
            (row, value)
            for row in advice.resolutions
            if row.n_clusters > 1 and (value := getattr(row, name)) is not None
        ]
        if len(known) > 1:
            points = " ".join(f"{x(row)},{y(value)}" for row, value in known)
            lines.append(Line(kind, label, points))
    plateaus: dict[int, list[JudgedResolution]] = {}
    for row in advice.resolutions:
        plateaus.setdefault(row.plateau, []).append(row)
    bands = [(x(each[0]) - 6, x(each[-1]) - x(each[0]) + 12) for each in plateaus.values() if len(each) > 1]
    ticks, before = [], -math.inf
    for row in advice.resolutions:
        if x(row) - before >= 9 + 7 * len(number(row.resolution)):
            before = x(row)
            ticks.append((before, number(row.resolution), f"{row.n_clusters:,}"))
    return Chart(
        about=f"{advice.algorithm}: how far clusters are found again, by resolution",
        lines=tuple(lines),
        dots=tuple(Dot(x(row), y(row.measure), _tip(row), advice.verdict(row)) for row in rows),
        bands=tuple(bands),
        ticks=tuple(ticks),
    )


def _tip(row: JudgedResolution) -> str:
    what = "replicability" if row.has_evidence else "stability"
    return f"resolution {number(row.resolution)}: {row.n_clusters:,} clusters, {what} {row.measure:.2f}"


def _table(advice: Advice) -> Table:
    names = ("resolution", "clusters", "", "replicability", "recovered", "of a cloud", "p", "stability",
             "best by modularity", "modularity", "largest")  # fmt: skip
    caption = (
        f"Level 1 of {advice.algorithm} by resolution. Recovered: how far halves have the clusters of all cells. Best "
        "by modularity: between which resolutions no other of these partitions has a higher one (CHAMP)."
    )
    rows = [
        [
            Cell(number(row.resolution), row.resolution), Cell(f"{row.n_clusters:,}", row.n_clusters),
            Cell(advice.verdict(row) or REFUSED * (row.stands is False)),
            _number(row.replicability), _number(row.recovered), _number(row.expected),
            Cell("", 2.0) if row.p is None else Cell(f"{row.p:.2g}", row.p), _number(row.stability), _range(row),
            Cell(f"{row.modularity:.3f}", row.modularity), Cell(f"{row.largest:,}", row.largest),
        ]
        for row in advice.resolutions
    ]  # fmt: skip
    return Table(caption, names, rows)


def _number(value: float | None) -> Cell:
    return Cell("", -1.0) if value is None else Cell(f"{value:z.2f}", value)


def _range(row: JudgedResolution) -> Cell:
    if row.best_from is None:
        return Cell("nowhere", -1.0)
    end = "" if row.best_to is None else f" to {row.best_to:.2f}"
    return Cell(f"{'' if end else 'from '}{row.best_from:.2f}{end}", row.best_from)

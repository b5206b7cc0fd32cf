"""The tables that are read without a script: columns, reasons for not splitting, agreement with covariates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cellstrata.tasks.kernels.stability import LOW
from cellstrata.tasks.report.clusters import Grown
from cellstrata.tasks.report.compared import Agreeing
from cellstrata.tasks.report.stability import dissolved, runs_of
from cellstrata.tasks.trees.column_facts import ColumnFacts

SPLIT = "split further"
OF_RUNS = ("runs", "agreement", f"stability below {LOW}")


class Cell(NamedTuple):
    """A table cell: what is shown, what it is sorted by, and how strongly it is coloured, 0 to 1."""

    text: str
    order: float | str | None = None
    heat: float | None = None

    @property
    def classes(self) -> str:
        """The names that its style goes by."""
        return " ".join(["number"] * isinstance(self.order, float | int) + ["heat"] * (self.heat is not None))


class Table(NamedTuple):
    """A table that sorts: the names of its columns, and its rows."""

    caption: str
    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def is_number(self, at: int) -> bool:
        """Tell whether a column is sorted as numbers."""
        return any(isinstance(row[at].order, float | int) for row in self.rows)


def columns_table(trees: Sequence[Grown], facts: Mapping[str, ColumnFacts]) -> Table:
    """Return a table of the cluster columns: sizes, splits, what the runs of ensembles know, engine, time."""
    joined = any(runs_of(row) > 1 for tree in trees for column in tree.columns for row in tree.splits(column))
    names = ("column", "level", "clusters", "smallest", "median", "largest", "resolutions used", "modularity",
             *(OF_RUNS if joined else ()), "splits", "computed", "from cache", "seconds", "engine")  # fmt: skip
    rows = [_column(tree, column, facts.get(column), joined) for tree in trees for column in tree.columns]
    caption = (
        "Cluster columns. Modularity is that of level 1; seconds are what the splits took when they were computed."
    )
    if joined:
        caption += " Agreement is the mean adjusted Rand index between the runs of level 1."
    return Table(caption, names, rows)


def _column(tree: Grown, column: str, fact: ColumnFacts | None, joined: bool) -> list[Cell]:
    sizes = sorted(int(row["n_cells"]) for row in tree.clusters if row["column"] == column)
    splits = tree.splits(column)
    cached = sum(bool(row["from_cache"]) for row in splits)
    level = int(next(row["level"] for row in tree.clusters if row["column"] == column))
    modularity = fact and fact.modularity
    used = ", ".join(f"{value:g}" for value in fact.resolutions_used) if fact and fact.base else "came with the input"
    engine = f"{fact.engine}: {fact.engine_reason}" if fact and fact.engine else ""
    return [
        Cell(column), _count(level), _count(len(sizes)), _count(sizes[0]), _count(sizes[len(sizes) // 2]),
        _count(sizes[-1]), Cell(used, used), Cell("" if modularity is None else f"{modularity:.3f}", modularity or 0.0),
        *(_of_runs(tree, column, fact) if joined else ()), _count(len(splits)),
        _count(len(splits) - cached), _count(cached), _seconds(sum(float(row["seconds"]) for row in splits)),
        Cell(engine, engine),
    ]  # fmt: skip


def _of_runs(tree: Grown, column: str, fact: ColumnFacts | None) -> list[Cell]:
    runs = sorted({runs_of(row) for row in tree.splits(column)} - {0})
    agreement, known = fact and fact.agreement, any(number > 1 for number in runs)
    return [
        Cell(", ".join(map(str, runs)), max(runs, default=0)),
        Cell("" if agreement is None else f"{agreement:.2f}", agreement or 0.0),
        _count(len(dissolved(tree, column))) if known else Cell("", -1),
    ]


def reasons_table(trees: Sequence[Grown]) -> Table:
    """Return a table of why clusters were not split, clusters and cells by column; empty without deeper levels."""
    kinds = [SPLIT, *dict.fromkeys(_kind(row["reason"]) for tree in trees for row in tree.clusters if row["reason"])]
    rows = []
    for tree in trees:
        for column in tree.columns:
            clusters: Counter[str] = Counter()
            cells: Counter[str] = Counter()
            for row in tree.clusters:
                if row["column"] == column:
                    clusters[_kind(row["reason"])] += 1
                    cells[_kind(row["reason"])] += int(row["n_cells"])
            counted = [Cell(f"{clusters[kind]:,} ({cells[kind]:,} cells)" if clusters[kind] else "–", clusters[kind])
                       for kind in kinds]  # fmt: skip
            rows.append([Cell(column), *counted])
    return Table("What became of the clusters of each column", ("column", *kinds), rows)


def agreement_table(agreeing: Sequence[Agreeing]) -> Table:
    """Return a table of NMI between cluster columns and covariates, a column each."""
    covariates = list(dict.fromkeys(one.covariate for one in agreeing))
    by_column: dict[str, dict[str, Agreeing]] = {}
    for one in agreeing:
        by_column.setdefault(one.column, {})[one.covariate] = one
    rows = [
        [Cell(column), *(_agreement(found[name]) if name in found else Cell("") for name in covariates)]
        for column, found in by_column.items()
    ]
    caption = (
        "Normalised mutual information (0: independent, 1: the same groups; arithmetic mean), adjusted Rand index, and "
        "how many clusters have at least 90 % of their cells from one value, if all cells together have not"
    )
    return Table(caption, ("column", *covariates), rows)


def _agreement(one: Agreeing) -> Cell:
    found = one.agreement
    if not found.n_cells:
        return Cell("no values")
    alone = f" · {len(one.from_one)} of one" if one.from_one else ""
    return Cell(f"{found.nmi:.2f} · ARI {found.ari:z.2f}{alone}", round(found.nmi, 6), found.nmi)


def _kind(reason: str) -> str:
    return reason.split(":", 1)[0] if reason else SPLIT


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", value)


def _seconds(value: float) -> Cell:
    return Cell(f"{value:.2f}", round(value, 4)) if value == value else Cell("")

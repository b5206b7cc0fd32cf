"""The runs of an ensemble as splits of their own, where they are worth a place in the cache and a worker each."""

from __future__ import annotations

from dataclasses import replace

from cellstrata.tasks.kernels import ensemble
from cellstrata.tasks.trees.tree import Pending

KEPT_RUNS = 10_000  # cells: the runs of a smaller split are made in one process, faster than they are sent and kept


class RunsWanted(Exception):
    """The runs that were made do not agree: there are to be more, each of which is a piece of work."""


def keeps_runs(pending: Pending) -> bool:
    """Tell whether the runs of a node's split are splits of their own."""
    return pending.spec.partition.joins_runs and pending.n_cells >= KEPT_RUNS


def run_of(pending: Pending, number: int) -> Pending:
    """Return an ensemble's run, counted from 0, as a split of the same cells."""
    partition = ensemble.run_spec(pending.spec.partition, number)
    return replace(pending, spec=replace(pending.spec, partition=partition), run=number)


def next_runs(pending: Pending, made: int, *, more: bool = False) -> list[Pending]:
    """Return the runs that are to be made after so many, none for a split that does not keep its runs.

    They are those that an ensemble has at least, or all, if `more` are wanted. Below level 1 the first comes
    alone: it leaves the graph to the others.
    """
    if not keeps_runs(pending):
        return []
    spec = pending.spec.partition
    upto = ensemble.all_runs(spec) if more else ensemble.first_runs(spec)
    if pending.path and not made:
        upto = 1
    return [run_of(pending, number) for number in range(made, upto)]

"""Which column of a result is meant by a cluster's label, and what to say where none is, or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cellstrata.configs.errors import did_you_mean, listed
from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.results.record import ResultRecord, Told
from cellstrata.tasks.trees.labels import SEPARATOR, label_of

ALL = label_of(())
MOST_NAMES = 8


def asked_column(
    record: ResultRecord, told: Mapping[str, Told], lost: Mapping[str, str], cluster: str, column: str | None
) -> str:
    """Return the column that is to be explained; `told` and `lost` are those of `told_columns`.

    Raises
    ------
    InputError
        If there is no such column or cluster, or the cluster is in several columns and none is named.
    """
    having = [name for name, place in told.items() if _has(place, cluster)]
    if column is not None:
        if column not in told:
            raise InputError(record.url, f"column {column!r}", _unknown_column(record, told, lost, column))
        if cluster != ALL and column not in having:
            there = told[column]
            hint = f"; it is in {listed(having, MOST_NAMES)}" if having else _instead(cluster, [there])
            hint = hint or f"; there is {listed(list(there.record.rows.clusters(there.name)), MOST_NAMES)}"
            raise InputError(record.url, column, f"there is no cluster {cluster!r}{hint}")
        return column
    if len(having) == 1:
        return having[0]
    if having:
        what = f"cluster {cluster} is in {len(having)} columns" if cluster != ALL else f"it has {len(having)} trees"
        raise InputError(record.url, "", f"{what}, {listed(having, MOST_NAMES)}: name one, as in --column {having[0]}")
    if not told:
        raise InputError(record.url, "", _nothing(record, lost))
    if cluster == ALL:
        message = (
            f"level 1 came with the input; name a cluster, and one of {listed(list(told), MOST_NAMES)} with --column"
        )
        raise InputError(record.url, "", message)
    hint = _instead(cluster, told.values())
    hint += f"; the columns are {listed(list(told), MOST_NAMES)}"
    gone = f"; what {listed(list(lost), MOST_NAMES)} came from cannot be read any more" if lost else ""
    raise InputError(record.url, "", f"no column has a cluster {cluster!r}{hint}{gone}")


def _has(place: Told, cluster: str) -> bool:
    rows = place.record.rows
    return rows.root(place.name) is not None if cluster == ALL else cluster in rows.clusters(place.name)


def _unknown_column(record: ResultRecord, told: Mapping[str, Told], lost: Mapping[str, str], column: str) -> str:
    if column in lost:
        return f"was collected from a result that cannot be read any more: {lost[column]}"
    if column in record.obs:
        made = f"; it made {listed(list(told), MOST_NAMES)}" if told else ""
        return f"came with the input as it is, cellstrata did not make it{made}"
    if not told:
        return _nothing(record, lost)
    near = did_you_mean(column, told)
    return f"there is no such column; {near or f'it has {listed(list(told), MOST_NAMES)}'}"


def _instead(cluster: str, places: Iterable[Told]) -> str:
    """Say which clusters there are that are most like the one that is not, each place a column."""
    parent, depth = cluster.rpartition(SEPARATOR)[0], len(cluster.split(SEPARATOR))
    for place in places:
        rows, column = place.record.rows, place.name
        if rows.level(column) == depth:
            near = [label for label, row in rows.clusters(column).items() if row["parent"] == parent]
            if near and parent:
                return f"; below {parent} there is {listed(near, MOST_NAMES)}"
            if near:
                return f"; {column} has {listed(near, MOST_NAMES)}"
    return ""


def _nothing(record: ResultRecord, lost: Mapping[str, str]) -> str:
    if lost:
        name, reason = next(iter(lost.items()))
        return f"{name} was collected from a result that cannot be read any more: {reason}"
    kept = record.texts.get("column")
    return f"{kept} came with the input as it is" if kept else "records no tree of clusters"

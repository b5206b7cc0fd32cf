"""Whether a curation fits the clusters of a result, and the groups that it makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cellstrata.configs.errors import ConfigError, Path, Problem, did_you_mean, listed
from cellstrata.tasks.curation.changed_ids import fate_of, origin_of
from cellstrata.tasks.curation.curation_file import CuratedColumn, Curation, line_of
from cellstrata.tasks.results.name_columns import JOINED, NAME, ONTOLOGY
from cellstrata.tasks.results.record import ResultRecord

MOST_NAMES = 8


@dataclass(frozen=True)
class Group:
    """Clusters that have one name: a cluster, or several that are merged, the first of the column first."""

    clusters: tuple[str, ...]
    name: str
    ontology: str | None
    color: str | None
    n_cells: int


def groups_of(curation: Curation, record: ResultRecord, file: str) -> dict[str, tuple[Group, ...]]:
    """Return the groups of each curated column, in the order of its clusters.

    Raises
    ------
    ConfigError
        With all that does not fit: columns and ids that are not there, clusters without a name, merges that the tree
        does not allow, clusters that have the same name or disagree though they are merged, columns in the way.
    """
    problems = [problem for name in curation.columns for problem in _column_problems(curation, record, name)]
    known = {name: column for name, column in curation.columns.items() if record.rows.clusters(name)}
    merged = {name: _merged(column) for name, column in known.items()}
    for name, column in known.items():
        problems += _Column(curation, record, name, column, merged).problems()
    if problems:
        raise ConfigError(problems, file)
    return {name: tuple(_groups(record, name, column, merged[name])) for name, column in known.items()}


def _column_problems(curation: Curation, record: ResultRecord, name: str) -> Iterator[Problem]:
    path: Path = ("columns", name)
    line = line_of(curation.lines, path)
    if name not in record.obs or not record.rows.clusters(name):
        there = [each for each in record.columns() if each in record.obs]
        why = (
            "came with the input, cellstrata did not make it" if name in record.obs else f"is no column of {record.url}"
        )
        yield Problem(path, why, did_you_mean(name, there) or f"it has {listed(there, MOST_NAMES) or 'none'}", line)
        return
    earlier = {each for entry in record.curations for each in entry.get("new", {}).get(name, ())}
    for new in (f"{name}{NAME}", f"{name}{ONTOLOGY}"):
        if new in record.obs and new not in earlier:
            yield Problem(path, f"obs[{new!r}] is there already, and no curation made it", "rename that column", line)


def _merged(column: CuratedColumn) -> dict[str, tuple[str, ...]]:
    """Return the merge of each cluster that is in one."""
    return {label: labels for _, labels in column.merges for label in labels}


class _Column:
    def __init__(
        self,
        curation: Curation,
        record: ResultRecord,
        name: str,
        column: CuratedColumn,
        merged: Mapping[str, Mapping[str, tuple[str, ...]]],
    ) -> None:
        self._lines, self._name, self._column, self._merged = curation.lines, name, column, merged[name]
        self._record, self._rows = record, record.rows.clusters(name)
        above = record.rows.above(name)
        self._above = merged.get(above[-2], {}) if len(above) > 1 else {}
        self._above_name = above[-2] if len(above) > 1 else ""

    def problems(self) -> Iterator[Problem]:
        yield from self._unknown()
        yield from self._merges()
        yield from self._coverage()
        yield from self._same_names()

    def _problem(self, path: Path, message: str, fix: str) -> Problem:
        return Problem(path, message, fix, line_of(self._lines, path))

    def _unknown(self) -> Iterator[Problem]:
        named = [(one.path, label) for label, one in self._column.clusters.items()]
        for path, label in [*named, *((path, label) for path, labels in self._column.merges for label in labels)]:
            if label not in self._rows:
                parent = label.rpartition("_")[0]
                sisters = [each for each, row in self._rows.items() if row["parent"] == parent]
                there = listed(sisters or list(self._rows), MOST_NAMES)
                fate = fate_of(self._record, self._name, label)
                why = f": {fate}" if fate else ""
                yield self._problem(path, f"{self._name} has no cluster {label!r}{why}", f"there is {there}")

    def _merges(self) -> Iterator[Problem]:
        seen: dict[str, Path] = {}
        for path, labels in self._column.merges:
            twice = [label for at, label in enumerate(labels) if label in seen or label in labels[:at]]
            if twice:
                yield self._problem(
                    path, f"{listed(twice, MOST_NAMES)} is in a merge already", "name each cluster once"
                )
            seen |= dict.fromkeys(labels, path)
            known = [label for label in labels if label in self._rows]
            parents = list(dict.fromkeys(str(self._rows[label]["parent"]) for label in known))
            if len({self._above.get(parent, (parent,)) for parent in parents}) > 1:
                fix = f"merge these in {self._above_name} too, or give the clusters names of their own"
                message = f"{listed(known, MOST_NAMES)} have different parents, {listed(parents, MOST_NAMES)}"
                yield self._problem(path, message, fix)
            said = [self._column.clusters[label] for label in known if label in self._column.clusters]
            for what in ("name", "ontology", "color"):
                values = list(dict.fromkeys(value for one in said if (value := getattr(one, what))))
                if len(values) > 1:
                    message = f"clusters that are merged have different values of {what}, {listed(values, MOST_NAMES)}"
                    yield self._problem(path, message, "give it to one of them, or do not merge them")

    def _coverage(self) -> Iterator[Problem]:
        named = {other for label in self._column.clusters for other in (label, *self._merged.get(label, ()))}
        lost = [label for label in self._rows if label not in named]
        if lost and not self._column.keeps_unnamed:
            path: Path = ("columns", self._name, "clusters")
            told = [origin_of(self._record, self._name, label) for label in lost]
            message = f"{len(lost)} of {len(self._rows)} clusters have no name: {listed(told, MOST_NAMES)}"
            yield self._problem(path, message, "name them, or write `unnamed: keep` for their ids")

    def _same_names(self) -> Iterator[Problem]:
        owners: dict[str, str] = {
            label: label for label in self._rows if label not in self._column.clusters and label not in self._merged
        }
        for label, one in self._column.clusters.items():
            other = owners.setdefault(one.name, label)
            if other != label and other not in self._merged.get(label, ()):
                fix = f'write `merge: [["{other}", "{label}"]]`, or another name'
                yield self._problem(one.path, f"{other} and {label} are both called {one.name!r}", fix)


def _groups(
    record: ResultRecord, name: str, column: CuratedColumn, merged: Mapping[str, tuple[str, ...]]
) -> Iterator[Group]:
    rows, done = record.rows.clusters(name), set[str]()
    order = {label: at for at, label in enumerate(rows)}
    for label in rows:
        if label in done:
            continue
        labels = tuple(sorted(merged.get(label, (label,)), key=order.__getitem__))
        done |= set(labels)
        said = [column.clusters[each] for each in labels if each in column.clusters]
        yield Group(
            labels,
            said[0].name if said else JOINED.join(labels),
            next((one.ontology for one in said if one.ontology), None),
            next((one.color for one in said if one.color), None),
            sum(int(rows[each]["n_cells"]) for each in labels),
        )

"""The marker genes of a dataset that was just clustered: found in the cache, or computed in one pass over the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from cellstrata.configs.markers import MarkersConfig
from cellstrata.tasks.cache.cache import Cache, Record
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.expression.blocks import Logs, repeated_names
from cellstrata.tasks.expression.choice import chosen_expression, problem_of_values
from cellstrata.tasks.expression.digest import expression_digest
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.inputs.index import Remembered
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.kernels.versions import installed_version
from cellstrata.tasks.markers.contrasts import ClusterColumn, Contrast, contrasts
from cellstrata.tasks.markers.families import families
from cellstrata.tasks.markers.ranked_genes import RankedGenes
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.publishing.markers_parquet import has_markers, said_of_markers, write_markers_parquet
from cellstrata.tasks.results.marker_genes import FEWEST, Markers, cluster_markers, table_url
from cellstrata.tasks.results.marker_profiles import profile_values, profiles
from cellstrata.tasks.results.marker_tests import compare, read_parts
from cellstrata.tasks.results.result import Finished, columns
from cellstrata.tasks.stores.digest import digest_array, digest_values

SCHEME = 2  # raise it when the same values give other numbers
NUMBERS = ("scores", "log_fold_changes", "p", "p_adjusted", "shares", "shares_of_rest")


@dataclass(frozen=True, kw_only=True)
class DatasetMarkers:
    """What is asked for: the input, the columns that were made, how, and the URL of the table."""

    source: Opened = field(repr=False)
    columns: tuple[ClusterColumn, ...]
    asked: MarkersConfig
    table: str
    rehash: bool = False

    @classmethod
    def of(cls, finished: Finished, asked: MarkersConfig, *, rehash: bool = False) -> DatasetMarkers:
        """Take them from a dataset that is clustered."""
        table = table_url(finished.source.output)
        return cls(
            source=finished.source.opened, columns=cluster_columns(finished), asked=asked, table=table, rehash=rehash
        )


def cluster_columns(finished: Finished) -> tuple[ClusterColumn, ...]:
    """Return the columns of clusters with the parent of each, as markers are found for them."""
    values = iter(columns(finished.trees).items())
    found = []
    for tree in finished.trees:
        for level in tree.levels:
            name, of = next(values)
            above = {tree.label(leaf[:level]): tree.parent_label(leaf[:level]) for leaf in tree.leaves}
            labels = tuple(map(str, of.categories))
            codes = np.ascontiguousarray(of.codes, np.int32)
            found.append(ClusterColumn(name, codes, labels, tuple(above.get(label, "") for label in labels)))
    return tuple(found)


def markers_problem(source: Input, asked: MarkersConfig) -> str | None:
    """Say what is wrong with the values in which markers are to be looked for, before any work; a sample is read."""
    wrong = problem_of_values(source.opened, asked, "markers")
    return None if wrong is None else f"{source.name}: {wrong}"


def write_dataset_markers(request: DatasetMarkers, cache: Cache, refresh: bool = False) -> Markers:
    """Find or compute the markers of a dataset, and write the table unless exactly this one stands there.

    What was computed is an entry of the cache, by the values, the clusters, and how they are compared: nothing of the
    values is read where it is there.

    Raises
    ------
    InputError
        If the values are not what `normalize` says, or are damaged.
    OutputError
        If the table cannot be written.
    """
    with chosen_expression(request.source, request.asked) as expression:
        key = _key(request, cache, expression)
        record = None if refresh else cache.find(key, "markers")
        if record is None:
            record = _computed(request, cache, expression, key)
        request.source.check_unchanged()
        return _written(request, cache, expression, record)


def find_dataset_markers(request: DatasetMarkers, cache: Cache, refresh: bool = False) -> Markers | None:
    """Return what `write_dataset_markers` would, the table in its place, if the cache has the markers.

    None where it has not, and where the values must be read to know.
    """
    memory = Remembered(cache, request.source, forget=request.rehash)
    if refresh or not memory.knows_digest_of(request.asked.element):
        return None
    with chosen_expression(request.source, request.asked) as expression:
        record = cache.find(_key(request, cache, expression), "markers")
        return None if record is None else _written(request, cache, expression, record)


def _said(asked: MarkersConfig) -> Mapping[str, object]:
    """Return what is asked for as plain values, as the table tells it."""
    return asked.model_dump(mode="json")


def _key(request: DatasetMarkers, cache: Cache, expression: Expression) -> str:
    asked = request.asked
    memory = Remembered(cache, request.source, forget=request.rehash)
    return digest_values(
        kind="markers",
        scheme=SCHEME,
        expression=memory.digest_of(asked.element, lambda: expression_digest(expression)),
        log_base=None if asked.normalize else expression.log_base,
        columns=[[digest_array(of.codes), list(of.labels), list(of.parents)] for of in request.columns],
        asked={name: value for name, value in _said(asked).items() if name not in ("layer", "raw")},
        versions={name: installed_version(name) for name in ("numpy", "scipy")},
    )


def remove_other_markers(source: Opened, output: str, publish_key: str) -> bool:
    """Remove a table of ours beside a result if it tells of other clusters than these; tells whether it did.

    A table that `cellstrata markers` wrote for this very result stays.
    """
    place = source.place.at(table_url(output))
    said = said_of_markers(place)
    if said.get("made_by") != MADE_BY or said.get("publish_key") == publish_key:
        return False
    place.store.remove_object("")
    return True


def _compared(request: DatasetMarkers) -> tuple[list[Contrast], list[str]]:
    """Return which clusters are compared with which, and who is left out."""
    asked = request.asked
    return contrasts(request.columns, tuple(asked.against), max(asked.min_cells, FEWEST))


def _written(request: DatasetMarkers, cache: Cache, expression: Expression, record: Record) -> Markers:
    """Return the markers of an entry, the table of which stands in its place then."""
    asked, place, genes = request.asked, request.source.place.at(request.table), expression.genes
    compared, left_out = _compared(request)
    tests = _tests(cache, record)
    found = cluster_markers(request.columns, compared, tests)
    names = digest_values(genes=[str(name) for name in genes])  # they may have changed, and the values not
    made_by = {"made_by": MADE_BY, "version": installed_version("cellstrata") or ""}
    how = {**made_by, "key": record.key, "genes": names, **_said(asked)}
    if not has_markers(place, how):
        write_markers_parquet(place, found, genes, how | {"created": datetime.now(UTC).isoformat(timespec="seconds")})
    notices = (*left_out, *map(str, record.body["notices"]), *repeated_names(expression))
    shown = profiles(request.columns, families(request.columns, compared, tests), cache.array(record, "profiles"))
    return Markers(place.url, found, genes, expression.where, str(record.body["holds"]), notices, record.key, shown)


def _computed(request: DatasetMarkers, cache: Cache, expression: Expression, key: str) -> Record:
    asked, (compared, _) = request.asked, _compared(request)
    logs = Logs(expression, normalize=asked.normalize)
    parts = read_parts(logs, request.columns)
    tests = compare(logs, parts, compared, method=asked.method, n_genes=asked.n_genes, say=lambda text: None)
    numbers = [[getattr(test, name) for name in NUMBERS] for test in tests]
    empty = np.empty((len(NUMBERS), 0))
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "lengths": np.array([len(test.genes) for test in tests], np.int64),
        "genes": np.concatenate([np.empty(0, np.int64), *(test.genes for test in tests)]),
        "numbers": np.concatenate([empty, *(np.array(rows) for rows in numbers)], axis=1),
        "profiles": profile_values(parts, families(request.columns, compared, tests)),
    }
    if all(test.auroc is not None for test in tests) and tests:
        arrays["auroc"] = np.concatenate([test.auroc for test in tests if test.auroc is not None])
    return cache.write_record("markers", key, {"holds": str(logs.seen), "notices": logs.notices_of_values}, arrays)


def _tests(cache: Cache, record: Record) -> list[RankedGenes]:
    ends = np.cumsum(cache.array(record, "lengths"))
    genes, numbers = cache.array(record, "genes"), cache.array(record, "numbers")
    auroc = cache.array(record, "auroc") if "auroc" in record.arrays() else None
    found = []
    for last, length in zip(ends.tolist(), cache.array(record, "lengths").tolist(), strict=True):
        part = slice(last - length, last)
        values = dict(zip(NUMBERS, numbers[:, part], strict=True))
        found.append(RankedGenes(genes=genes[part], **values, auroc=None if auroc is None else auroc[part]))
    return found

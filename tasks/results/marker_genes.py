"""Marker genes of the clusters of a result that is there: its columns, its expression values, the table beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from cellstrata.configs.errors import did_you_mean, listed
from cellstrata.configs.markers import MarkersConfig
from cellstrata.tasks.elements.linked_anndata import check_links
from cellstrata.tasks.elements.opening import InputError, reading
from cellstrata.tasks.elements.reading import Root, read_obs_column
from cellstrata.tasks.expression.blocks import Logs
from cellstrata.tasks.expression.source import Expression, find_expression, has_expression
from cellstrata.tasks.kernels.versions import installed_version
from cellstrata.tasks.markers.contrasts import ClusterColumn, Contrast, contrasts
from cellstrata.tasks.markers.ranked_genes import RankedGenes
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.publishing.markers_parquet import ClusterMarkers, write_markers_parquet
from cellstrata.tasks.results.marker_profiles import Profile
from cellstrata.tasks.results.marker_tests import compare, read_parts
from cellstrata.tasks.results.names import MARKERS, SUFFIXES
from cellstrata.tasks.results.record import ResultRecord, read_result, told_columns
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import join
from cellstrata.tasks.stores.write_access import unusable

MOST_NAMES = 8
FEWEST = 2  # cells that have a variance


class MarkerRequest(MarkersConfig):
    """What is asked for: which values, which test, which clusters. No `columns` are all columns of the result."""

    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Markers:
    """What was found: the table's URL, the markers of each cluster, the names of all genes, and what is left out.

    `key` is that of the entry in a cache, and `profiles` what it has for dot plots; a result that is there has neither.
    """

    table: str
    found: tuple[ClusterMarkers, ...]
    genes: np.ndarray
    matrix: str
    holds: str
    notices: tuple[str, ...]
    key: str = ""
    profiles: tuple[Profile, ...] = ()


def table_url(result: str) -> str:
    """Return where the markers of a result are: beside the labels of a run."""
    suffix = next((suffix for suffix in SUFFIXES if result.endswith(suffix)), "")
    return join(result.removesuffix(suffix), MARKERS) if suffix else f"{result}.{MARKERS}"


def write_markers(place: Place, request: MarkerRequest, say: Callable[[str], object] = lambda text: None) -> Markers:
    """Find the markers of a result's clusters and write them beside it, all or nothing; `say` is told what is done.

    Raises
    ------
    InputError
        If there is no such result, column, layer or raw, or the values are not what `normalize` says; before the
        values are gone through wherever that can be known.
    OutputError
        If nothing can be written there.
    """
    record = read_result(place)
    if record.source.kind == "zarr":
        check_links(record.source.place.store)
    target = place.at(table_url(place.url))
    if target.is_local and (problem := unusable(target.at(f"{target.url}.part"))):
        raise OutputError(target.url, "", f"cannot be written, {problem}")
    with record.source.root() as root:
        with reading(record.url):
            columns, notices = _columns(record, root, request.columns)
        asked, left_out = contrasts(columns, request.against, max(request.min_cells, FEWEST))
        if not asked:
            raise InputError(record.url, "", "; ".join(["nothing can be compared", *left_out]))
        with reading(record.url):
            expression = _expression(record, root, request)
        logs = Logs(expression, normalize=request.normalize)
        say(f"reading {logs.expression.where} of {logs.expression.shape[0]:,} cells")
        parts = read_parts(logs, columns)
        tests = compare(logs, parts, asked, method=request.method, n_genes=request.n_genes, say=say)
    found = cluster_markers(columns, asked, tests)
    record.source.check_unchanged()
    write_markers_parquet(target, found, logs.expression.genes, _how(record, request))
    return Markers(
        target.url, found, logs.expression.genes, logs.expression.where, str(logs.seen),
        (*notices, *left_out, *logs.notices),
    )  # fmt: skip


def cluster_markers(
    columns: Sequence[ClusterColumn], compared: Sequence[Contrast], tests: Sequence[RankedGenes]
) -> tuple[ClusterMarkers, ...]:
    """Name what was compared, by the labels of its column."""
    return tuple(
        ClusterMarkers(column.name, column.labels[of.cluster], column.parents[of.cluster], of.against, test)
        for of, test in zip(compared, tests, strict=True)
        for column in (columns[of.column],)
    )


def _columns(record: ResultRecord, root: Root, asked: Sequence[str]) -> tuple[list[ClusterColumn], list[str]]:
    """Return the columns that are asked for, or all, and what cannot be read any more."""
    told, lost = told_columns(record)
    there = {name: column for name, column in told.items() if name in record.obs}
    if not there:
        raise InputError(record.url, "", "has no column of clusters whose tree is recorded")
    for name in asked:
        if name not in there:
            hint = did_you_mean(name, there) or f"it has {listed(list(there), MOST_NAMES)}"
            why = lost.get(name) or (
                "came with the input, cellstrata did not make it" if name in record.obs else "there is no such column"
            )
            raise InputError(record.url, f"column {name!r}", f"{why}; {hint}")
    found = []
    for name in dict.fromkeys(asked) or there:
        rows = there[name].record.rows.clusters(there[name].name)
        values = read_obs_column(root, name).astype("category")
        labels = tuple(str(label) for label in values.cat.categories)
        parents = tuple(str(rows[label]["parent"]) if label in rows else "" for label in labels)
        found.append(ClusterColumn(name, values.cat.codes.to_numpy().astype(np.int32), labels, parents))
    gone = [f"{name}: nothing tells which clusters are sisters ({reason})" for name, reason in lost.items()]
    return found, [] if asked else gone


def _expression(record: ResultRecord, root: Root, request: MarkerRequest) -> Expression:
    try:
        return find_expression(root, layer=request.layer, raw=request.raw)
    except InputError as error:
        source = record.document("input").get("url")
        if has_expression(root) or record.texts.get("command") != "cluster" or not source:
            raise
        left = f"`cluster` left them out, as it does with those of an h5ad file; cluster {source} with `run`"
        raise InputError(error.url, error.key, f"is not in the result: {left}") from error


def _how(record: ResultRecord, request: MarkerRequest) -> Mapping[str, object]:
    return {
        "made_by": MADE_BY,
        "version": installed_version("cellstrata") or "",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "publish_key": record.texts.get("publish_key", ""),
        **request.model_dump(mode="json"),
    }

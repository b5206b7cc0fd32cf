"""What a page tells of the clusters in an AnnData in memory, or of a result that was read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.configs.errors import did_you_mean
from cellstrata.configs.secrets_mask import masked
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.evaluation.adata_cells import category_columns, gene_values, obs_covariate
from cellstrata.tasks.evaluation.covariates import Covariate, Numbers
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.publishing.markers_parquet import ClusterMarkers, clusters_of_table
from cellstrata.tasks.report.covariates import rarest_as_one
from cellstrata.tasks.report.subject import GENES, Subject, View
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.annotations import RECORD, markers_key
from cellstrata.tasks.results.marker_genes import Markers
from cellstrata.tasks.stores.data_errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FEW_VALUES = 50  # of a column that is shown without being asked for
MOST_COLUMNS = 12  # that are
MAP = "X_umap"
RECOUNTED = (
    "cells were taken away, or added, since the clustering: numbers of cells are those of now, all else is of then"
)


def adata_subject(record: AdataRecord, color: Sequence[str] | None, title: str) -> Subject:
    """Gather what a page tells of an AnnData; `color` are columns of obs and genes, None the categorical columns.

    Raises
    ------
    InputError
        If no column of clusters is left in obs, one has clusters that its tree does not tell of, or there is no such
        column or gene.
    """
    adata, columns = record.adata, record.columns
    if not columns:
        raise InputError(NAME, "obs", f"has no column that uns[{record.key!r}] tells of: cluster again")
    labels = {name: _labels(record, name) for name in columns}
    chosen = _shown(record) if color is None else list(dict.fromkeys(color))
    covariates, genes = _colors(record, chosen)
    stability = {name: values for name in columns if (values := record.stability(name)) is not None}
    return Subject(
        name=title,
        n_cells=int(adata.n_obs),
        tree=record.tree[record.tree["column"].isin(columns)].reset_index(drop=True),
        facts={name: record.facts[name] for name in columns if name in record.facts},
        labels=labels,
        view=_view(record),
        covariates=tuple(covariates),
        genes=tuple(genes),
        overview=tuple(_overview(record)),
        settings=tuple(_settings(record)),
        versions={str(name): str(of) for name, of in _document(record, "versions").items()},
        stability=stability,
        advice=record.advice,
        markers=_markers(record),
        notices=(RECOUNTED,) * record.recounted,
    )


def _labels(record: AdataRecord, name: str) -> pd.Categorical[Any]:
    """Return a column as text, its clusters in their order."""
    with IMPORTING:
        import pandas as pd

    column = record.known_clusters(name)
    return pd.Categorical.from_codes(column.codes, categories=pd.Index(list(column.labels), dtype=object))


def _shown(record: AdataRecord) -> list[str]:
    """Return the categorical columns that are not of this clustering and have few values."""
    found = category_columns(record.adata)
    return [name for name, n in found.items() if name not in record.facts and 1 < n <= FEW_VALUES][:MOST_COLUMNS]


def _colors(record: AdataRecord, names: Sequence[str]) -> tuple[list[Covariate], list[Numbers]]:
    adata = record.adata
    covariates = [rarest_as_one(obs_covariate(adata, name)) for name in names if name in adata.obs]
    genes = {name: gene_values(adata, name) for name in names if name not in adata.obs}
    for name, values in genes.items():
        if values is None:
            hint = did_you_mean(name, [*adata.obs, *adata.var_names]) or "name a column of obs or a gene"
            raise InputError(NAME, repr(name), f"is neither a column of obs nor a gene; {hint}")
    if len(genes) > GENES:
        raise InputError(NAME, "", f"{len(genes)} genes are asked for, and a page has room for {GENES}")
    return covariates, [values for values in genes.values() if values is not None]


def _view(record: AdataRecord) -> View | None:
    obsm = record.adata.obsm
    used = [name for name in dict.fromkeys(record.tree["embedding"]) if isinstance(name, str)]
    for name in (MAP, *used):
        values = obsm.get(name)
        if values is not None and len(values.shape) == 2 and values.shape[1] >= 2:
            points = np.ascontiguousarray(np.asarray(values)[:, :2], dtype=np.float32)
            if name == MAP:
                return View("UMAP", "as the AnnData holds it", points)
            return View(
                f"First two dimensions of {name}",
                "there is no UMAP (`sc.tl.umap` makes one); distances tell less",
                points,
            )
    return None


def _overview(record: AdataRecord) -> list[tuple[str, str]]:
    said = [
        ("Cells", f"{record.adata.n_obs:,}"),
        ("Columns", f"{len(record.columns):,}"),
        ("Written", datetime.now(UTC).isoformat(sep=" ", timespec="seconds")),
        ("Clustered", record.text("created") or ""),
        ("By", f"cellstrata {record.text('command') or ''}".strip()),
        ("Graph of level 1", f"key {graph}" if (graph := record.text("neighbors_key")) else ""),
        ("Record", f"uns[{record.key!r}]"),
    ]
    return [(name, value) for name, value in said if value]


def _settings(record: AdataRecord) -> list[tuple[str, object]]:
    settings: Any = _document(record, "configuration").get("clustering", {})
    return [(name, masked(value)) for name, value in settings.items() if value not in (None, [], {})]


def _document(record: AdataRecord, name: str) -> Mapping[str, Any]:
    found = json.loads(record.text(name) or "{}")
    return found if isinstance(found, dict) else {}


def _markers(record: AdataRecord) -> Markers | None:
    """Return the markers that `cs.tl.markers` has found, None where it was not called."""
    place = markers_key(None if record.key == RECORD else record.key)
    table: Any = record.adata.uns.get(place)
    if table is None or not len(table):
        return None
    found: tuple[ClusterMarkers, ...]
    found, genes = clusters_of_table(table)
    return Markers(f"uns[{place!r}]", found, genes, "the values that were compared", "", ())

"""The figures of the clusters in an AnnData in memory, each of them drawn as that of a result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellstrata.configs.errors import listed
from cellstrata.tasks.elements.adata_columns import obs_column
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.evaluation.adata_cells import obs_covariate
from cellstrata.tasks.evaluation.covariates import Categories, Numbers, categories_of
from cellstrata.tasks.figures.advice_figure import advice_sheet
from cellstrata.tasks.figures.clustree_figure import clustree
from cellstrata.tasks.figures.evaluation_figures import MOST_VALUES, bars, violins
from cellstrata.tasks.figures.hierarchy_figure import hierarchy
from cellstrata.tasks.figures.hierarchy_layout import branches
from cellstrata.tasks.figures.sheet import Sheet
from cellstrata.tasks.figures.umap_figure import Map, by_category, by_number
from cellstrata.tasks.kernels.stability import LOW
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.trees.labels import STABILITY, STABILITY_SUFFIX

if TYPE_CHECKING:
    import anndata as ad

MOST_NAMES = 8


def tree_sheet(record: AdataRecord, column: str | None) -> Sheet:
    """Draw the tree from level 1 down to a column. Raises InputError if there is no such column."""
    columns = record.rows.above(record.column(column))
    top = branches(record.rows, columns)
    total = sum(branch.count() for branch in top)
    about = f"{_about(record.adata)}, {total:,} clusters in {len(columns)} level{'s'[: len(columns) != 1]}"
    return hierarchy(top, {name: record.palette[name] for name in columns}, columns[-1].rpartition("_")[0], about)


def clustree_sheet(record: AdataRecord, algorithm: str | None) -> Sheet:
    """Draw level 1 at all resolutions of an algorithm. Raises InputError if there is but one."""
    found: dict[str, list[tuple[float, str]]] = {}
    for name in record.columns:
        facts = record.facts.get(name)
        if facts is not None and facts.level == 1 and facts.base is not None:
            found.setdefault(facts.base[0], []).append((facts.base[1], name))
    of = algorithm or next(iter(found), "")
    if len(found.get(of, ())) < 2:
        message = f"has level 1 of {of or 'any algorithm'} at fewer than two resolutions: cluster at several"
        raise InputError(NAME, f"uns[{record.key!r}]", message)
    pairs = sorted(found[of])
    columns = [_clusters(record, name) for _, name in pairs]
    return clustree(
        columns, [f"{value:g}" for value, _ in pairs], f"{of}, level 1, by resolution", _about(record.adata)
    )


def advice_of(record: AdataRecord, algorithm: str | None) -> Sheet:
    """Draw what is advised of an algorithm. Raises InputError where nothing is."""
    found = {advice.algorithm: advice for advice in record.advice}
    name = algorithm or next(iter(found), "")
    if name not in found:
        of = f" of {name}" if name else ""
        message = f"advises no resolution{of}: cluster at several, best with `evidence=True`"
        raise InputError(NAME, f"uns[{record.key!r}]", message)
    return advice_sheet(found[name], _about(record.adata))


def umap_sheet(record: AdataRecord, color: str | None, basis: str) -> Sheet:
    """Draw cells on an embedding of two dimensions by a column of clusters, or any column of obs.

    Raises InputError if there is no such column or embedding.
    """
    adata, about = record.adata, _about(record.adata)
    places = _places(adata, basis)
    if color is None or color in record.columns:
        return by_category(places, _clusters(record, record.column(color)), about, labelled=True, whole=True)
    of = obs_covariate(adata, color)
    return by_number(places, of, about) if isinstance(of, Numbers) else by_category(places, of, about)


def stability_sheet(record: AdataRecord, column: str | None, basis: str) -> Sheet:
    """Draw how far other seeds find the cluster of each cell. Raises InputError for single runs."""
    name = record.column(column)
    values = record.stability(name)
    if values is None or np.isnan(values).all():
        raise InputError(
            NAME, f"obs[{name!r}]", "was made by single runs, of which no stability is known: `ensemble=3`"
        )
    of = Numbers(f"{name}{STABILITY_SUFFIX}", values.astype(np.float64))
    about = f"{_about(record.adata)}; below {LOW}, other seeds do not find a cluster again"
    return by_number(_places(record.adata, basis), of, about, (0.0, 1.0), _clusters(record, name))


def composition_sheet(record: AdataRecord, by: str, column: str | None) -> Sheet:
    """Draw what clusters are composed of, by a column of obs: bars of its values, or violins of its numbers.

    Raises InputError if there is no such column, or it has very many values.
    """
    clusters, of = _clusters(record, record.column(column)), obs_covariate(record.adata, by)
    if isinstance(of, Numbers):
        return violins(clusters, of, _about(record.adata))
    if len(of.labels) > MOST_VALUES:
        raise InputError(
            NAME, f"obs[{by!r}]", f"has {len(of.labels):,} values, more than the {MOST_VALUES} that bars show"
        )
    return bars(clusters, of, _about(record.adata))


def _about(adata: ad.AnnData) -> str:
    return f"{adata.n_obs:,} cells"


def _clusters(record: AdataRecord, name: str) -> Categories:
    of = categories_of(obs_column(record.adata, name), name)
    own = record.palette.get(name, {})
    return replace(of, colors={label: own[label] for label in of.labels}) if set(of.labels) <= set(own) else of


def _places(adata: ad.AnnData, basis: str) -> Map:
    key = basis if basis in adata.obsm or basis.startswith("X_") else f"X_{basis}"
    values = adata.obsm.get(key)
    if values is None or len(values.shape) != 2 or values.shape[1] < 2:
        there = [name for name in adata.obsm if not name.endswith(STABILITY)]
        message = (
            f"is no map of the cells; obsm has {listed(there, MOST_NAMES) or 'none'}: `sc.tl.umap(adata)` makes one"
        )
        raise InputError(NAME, f"obsm[{key!r}]", message)
    return Map(np.ascontiguousarray(np.asarray(values)[:, :2], dtype=np.float32))

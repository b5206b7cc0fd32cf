"""What figures are drawn from: of a published result the columns, colours and genes that were asked for."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.colours.palette import Palette, tree_palette
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.evaluation.covariates import Categories, Covariate, Numbers, read_covariate
from cellstrata.tasks.evaluation.gene_cache import kept_genes
from cellstrata.tasks.evaluation.gene_values import read_genes
from cellstrata.tasks.figures.request import FigureRequest
from cellstrata.tasks.results.record import read_result
from cellstrata.tasks.results.stability import Values, read_stability
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.labels import STABILITY_SUFFIX
from cellstrata.tasks.trees.rows import TreeRows


@dataclass(frozen=True, kw_only=True)
class Cells:
    """`columns` are the cluster columns, `covariates` what they are compared with, `colors` what only UMAPs show.

    `embedding` is (n, 2) float32, None without a UMAP; `about` names the result and its number of cells;
    `stability` is that of each cell, by the cluster columns that have one; `advice` tells which resolution to take;
    `skipped` says what is not drawn and why.
    """

    about: str
    embedding: npt.NDArray[np.float32] | None
    columns: list[Categories]
    covariates: list[Covariate]
    colors: list[Covariate]
    centroids: frozenset[str]
    genes: list[Numbers]
    rows: TreeRows
    palette: Palette
    stability: Mapping[str, Numbers]
    advice: tuple[Advice, ...]
    skipped: list[str]

    def texts(self) -> Iterator[str]:
        """Yield all names and labels that figures show."""
        yield self.about
        for of in [*self.columns, *self.covariates, *self.colors, *self.genes]:
            yield of.name
            yield from of.labels if isinstance(of, Categories) else ()


def read_cells(request: FigureRequest) -> Cells:
    """Read from a result what its figures need, and of X no more than the genes that are named.

    Raises
    ------
    DataError
        If the result cannot be read.
    """
    record = read_result(Place(request.result, request.storage_options))
    palette = tree_palette(record.tree, record.facts)
    skipped: list[str] = []
    with record.source.root() as root:
        there = set(elements.obs_columns(root))
        read = [read_covariate(root, name) for name in request.columns if name in there]
        columns = [_colored(of, palette) for of in read if isinstance(of, Categories)]
        names = list(dict.fromkeys([*request.covariates, *request.colors, *request.centroids]))
        others = {name: read_covariate(root, name) for name in names if name in there and name not in request.columns}
        counts = {name: _values(of) for name, of in others.items()}
        others = {name: of for name, of in others.items() if counts[name] > 1}
        for found, said in ((0, "no"), (1, "one")):  # all of them are named: which has none is what a user looks for
            if names_of := [name for name, count in counts.items() if count == found]:
                skipped.append(f"{', '.join(names_of)} {'has' if len(names_of) == 1 else 'have'} {said} value")
        genes = _genes(request, root, [name for name in names if name not in there])
        known = there | {gene.name for gene in genes}
        skipped += [f"{name} is not in X" for name in names if name not in known]
        embedding = None
        if "X_umap" in elements.obsm_shapes(root):
            embedding = np.ascontiguousarray(elements.read_obsm(root, "X_umap")[:, :2])
            embedding = embedding if embedding.shape[1] == 2 else None
        n = elements.n_obs(root)
        stability = read_stability(record, root)
    covariates = [others[name] for name in request.covariates if name in others]
    return Cells(
        about=f"{request.name}, {n:,} cells",
        embedding=embedding,
        columns=columns,
        covariates=covariates,
        colors=[of for name, of in others.items() if name not in request.covariates],
        centroids=frozenset(request.centroids),
        genes=genes,
        rows=record.rows,
        palette=palette,
        stability={of.name: own for of in columns if (own := _stability(of.name, stability, others))},
        advice=record.advice,
        skipped=skipped,
    )


def _genes(request: FigureRequest, root: elements.Root, names: list[str]) -> list[Numbers]:
    return read_genes(root, names) if request.genes is None else kept_genes(root, names, request.genes)


def _colored(of: Categories, palette: Palette) -> Categories:
    """Give a cluster column the tree's colours, which an older result does not hold."""
    own = palette.get(of.name, {})
    known = all(label in own for label in of.labels)
    return replace(of, colors={label: own[label] for label in of.labels}) if known else of


def _stability(column: str, stability: Mapping[str, Values], others: Container[str]) -> Numbers | None:
    """None for single runs, and where it is an obs column that is asked for, and so drawn in any case."""
    name = f"{column}{STABILITY_SUFFIX}"
    values = stability.get(column)
    if values is None or name in others or np.isnan(values).all():
        return None
    return Numbers(name, values.astype(np.float64))


def _values(of: Covariate) -> int:
    if isinstance(of, Categories):
        return len(of.labels)
    there = of.values[~np.isnan(of.values)]
    return int(len(there) > 0) + int(len(there) > 0 and there.min() < there.max())

"""What a page tells of: a dataset's result as plain values, whether it was just made or is read in a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellstrata.configs.secrets_mask import masked
from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.elements.reading import read_obsm
from cellstrata.tasks.evaluation.covariates import Covariate, Numbers
from cellstrata.tasks.evaluation.gene_cache import GeneSource, kept_genes
from cellstrata.tasks.report.covariates import read_covariates
from cellstrata.tasks.report.places import shown_place
from cellstrata.tasks.results.marker_genes import Markers
from cellstrata.tasks.results.provenance import column_facts, tree_table, versions
from cellstrata.tasks.results.result import Finished, columns
from cellstrata.tasks.results.stability import Values, cell_stability
from cellstrata.tasks.trees.column_facts import ColumnFacts

if TYPE_CHECKING:
    import pandas as pd

GENES = 24  # that a page shows
SHOWN_OF_RUN = ("runner", "workers", "grain", "link", "use_gpu")


@dataclass(frozen=True)
class View:
    """Where cells stand in the plane: `points` (n, 2) float, not finite for cells without a place."""

    title: str
    note: str
    points: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A result: its tree (`tree_table`), the facts of its columns, the labels of its n cells by column, and
    what they are compared with; `genes` colour the plot alone, and so does `stability`, (n,) float32 by column of those
    that ensembles made; `advice` tells which resolution to
    take; `overview`, `settings` and `notices` are said as they are."""

    name: str
    n_cells: int
    tree: pd.DataFrame
    facts: Mapping[str, ColumnFacts]
    labels: Mapping[str, pd.Categorical]
    view: View | None
    covariates: tuple[Covariate, ...] = ()
    genes: tuple[Numbers, ...] = ()
    overview: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, object], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    stability: Mapping[str, Values] = field(default_factory=dict)
    advice: tuple[Advice, ...] = ()
    markers: Markers | None = None


@dataclass(frozen=True)
class RunFacts:
    """What only the run knows: its splits for this dataset, the seconds until the result stood, what it warned of, and
    the marker genes that it found."""

    executed: int
    cached: int
    seconds: float
    notices: tuple[str, ...] = ()
    markers: Markers | None = None


def subject_of(finished: Finished, run: RunFacts, cache: Cache) -> Subject:
    """Gather what a page tells of a finished dataset; reads the UMAP, and the obs columns and genes that colour it."""
    source, settings = finished.source, dict(finished.configuration["clustering"])
    names = [*settings["umap_colors"], *settings["plots"]["colors"]]
    facts, labels = column_facts(finished.trees), columns(finished.trees)
    with source.opened.root() as root:
        covariates, others = read_covariates(root, names)
        stored = read_obsm(root, "X_umap") if source.umap == "stored" else None
        named = [name for name in others if name not in facts]
        genes = kept_genes(root, named[:GENES], GeneSource(source.opened, cache))
    overview = _overview(finished, run)
    if named[GENES:]:
        overview.append(("Not in the report", f"{', '.join(named[GENES:])}: it has room for {GENES} genes"))
    return Subject(
        name=source.name,
        n_cells=source.n_cells,
        tree=tree_table(finished.trees),
        facts=facts,
        labels=labels,
        view=_view(finished, cache, stored),
        covariates=tuple(covariates),
        genes=tuple(genes),
        overview=tuple(overview),
        settings=tuple(_settings(finished, settings)),
        versions=versions(),
        notices=run.notices,
        stability=cell_stability(finished.trees, cache),
        advice=finished.advice,
        markers=run.markers,
    )


def _view(finished: Finished, cache: Cache, stored: npt.NDArray[np.float32] | None) -> View | None:
    if finished.umap is not None:
        return View("UMAP", "computed by this run", cache.get(finished.umap))
    if stored is not None and stored.shape[1] >= 2:
        return View("UMAP", "as the input holds it", stored[:, :2])
    known = {choice: ref for choice, ref in finished.source.embeddings.items() if ref is not None}
    base = finished.source.neighbors.embedding
    for choice in [base, *known]:
        ref = known.get(choice) or (finished.pca if choice in finished.source.embeddings else None)
        if ref is not None and len(ref.shape) == 2 and ref.shape[1] >= 2:
            note = "the result has no UMAP (recompute_umap: true computes one); distances here tell less"
            return View(f"First two dimensions of {choice.use_rep}", note, np.array(cache.view(ref)[:, :2]))
    return None


def _overview(finished: Finished, run: RunFacts) -> list[tuple[str, str]]:
    source = finished.source
    graph = "stored in the input" if source.stored_graph is not None else f"computed, {_neighbors(finished)}"
    return [
        ("Cells", f"{source.n_cells:,}"),
        ("Columns", f"{len(column_facts(finished.trees)):,}"),
        ("Splits", f"{run.executed:,} computed, {run.cached:,} from the cache"),
        ("Time", f"{run.seconds:.1f} s until the result was written"),
        ("Written", datetime.now(UTC).isoformat(sep=" ", timespec="seconds")),
        ("Input", shown_place(source.url)),
        ("Input's identity", _identity(source.identity)),
        ("Graph of level 1", f"{graph} (key {source.neighbors_key})"),
        ("Result", shown_place(source.output)),
        ("Labels", shown_place(source.labels)),
    ]


def _identity(identity: Mapping[str, Any]) -> str:
    """What its store says of the input, sizes and times as people read them."""
    said = []
    for name, value in identity.items():
        if name == "mtime_ns":
            said.append(f"changed {datetime.fromtimestamp(value / 1e9, UTC).isoformat(sep=' ', timespec='seconds')}")
        elif name == "size" and value is not None:
            said.append(f"{value:,} bytes")
        elif name != "url" and value is not None:
            said.append(f"{name} {value}")
    return ", ".join(said)


def _neighbors(finished: Finished) -> str:
    neighbors = finished.source.neighbors
    return f"{neighbors.n_neighbors} neighbours, {neighbors.embedding}, {neighbors.metric}"


def _settings(finished: Finished, settings: Mapping[str, object]) -> list[tuple[str, object]]:
    of_run = [(name, finished.configuration.get(name)) for name in SHOWN_OF_RUN]
    return [(name, masked(value)) for name, value in [*settings.items(), *of_run] if value not in (None, [], {})]

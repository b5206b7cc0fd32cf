"""The evidence for one split: made from the cells' rows, their graph and the labels of the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellstrata.configs.evidence import EvidenceConfig
from cellstrata.tasks.evidence.effect import Labels, purity, separation
from cellstrata.tasks.evidence.halves import MOST_CELLS, Clustering, halving, replicability
from cellstrata.tasks.evidence.null_cloud import null_clouds
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.ensemble import run_seed
from cellstrata.tasks.kernels.faiss_search import Floats
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.knn import Metric
from cellstrata.tasks.stores.json_values import JsonObject

SCHEME = 2  # raise it when the same cells give other numbers
LEAST_SPREAD = 0.02  # standard deviation of draws: two that happen to be equal are not known to the last digit


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What speaks for a split.

    Attributes
    ----------
    halves : tuple of float
        Replicability of each halving of the cells: the ARI between halves that were clustered apart.
    null : tuple of float
        The same of clouds without groups that have the cells' mean and covariance; empty where none was asked for.
    recovered : tuple of float
        How far each halving has the split's own clusters: the ARI, the mean of both halves.
    purity : tuple of float
        For each child the share of its cells' neighborhoods that lies within it.
    separation : tuple of float
        For each child how many standard deviations it lies from the nearest sister.
    n_cells : int
        The cells that the halves were drawn from at a time: all, or a sample of a large cluster.
    seconds : float
        What it took, on one core.
    """

    halves: tuple[float, ...]
    null: tuple[float, ...]
    recovered: tuple[float, ...]
    purity: tuple[float, ...]
    separation: tuple[float, ...]
    n_cells: int
    seconds: float = 0.0

    @property
    def replicability(self) -> float:
        """The mean over halvings."""
        return float(np.mean(self.halves))

    @property
    def recovery(self) -> float:
        """How far halves have the split's own clusters, the mean over halvings."""
        return float(np.mean(self.recovered))

    @property
    def expected(self) -> float | None:
        """The mean replicability of clouds without groups; None where none was drawn."""
        return float(np.mean(self.null)) if self.null else None

    @property
    def excess(self) -> float | None:
        """How far replicability is above that of clouds without groups, as a share of what these leave to 1.

        None where no cloud was drawn. It is corrected for shape as the index itself is for chance.
        """
        expected = self.expected
        return None if expected is None else (self.replicability - expected) / max(1 - expected, LEAST_SPREAD)

    @property
    def p(self) -> float | None:
        """How likely halvings of a cloud without groups agree so well or better; None where that is not known.

        One-sided, by Student's t for two samples with a common variance. It needs two draws on either side.
        """
        return exceeds(self.halves, self.null) if min(len(self.halves), len(self.null)) > 1 else None

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values, as a record's body has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> Evidence:
        """Read a record's body. Raises WrongJson if it is none of evidence."""
        said = JsonObject.of(body)
        lists = {
            name: said.numbers_or_none(name) or () for name in ("halves", "null", "recovered", "purity", "separation")
        }
        return cls(**lists, n_cells=said.whole("n_cells"), seconds=said.number("seconds"))


def evidence_for(
    points: Floats,
    graph: Graph,
    labels: Labels,
    cluster: Clustering,
    draws: EvidenceConfig,
    *,
    n_voters: int,
    metric: Metric,
    seed: int,
) -> Evidence:
    """Gather the evidence for a split of cells.

    Parameters
    ----------
    points
        (n, d) float32: the cells' rows of the embedding by which they were split.
    graph
        Their graph.
    labels
        (n,) int32 from 0 without gaps: what the split came to.
    cluster
        Returns the (m,) labels, from 0, of rows and a seed, with the split's own parameters.
    draws
        How many halvings, and how many clouds.
    n_voters, metric
        How labels are carried from one half to the other: by so many nearest neighbors.
    seed
        The split's. The draws of two splits with different seeds have none in common.
    """
    seeds = [run_seed(seed, number) for number in range(max(draws.halves, draws.null))]
    size = min(len(points), MOST_CELLS)
    clouds = null_clouds(points, size, seeds[: draws.null])
    found = [halving(points, cluster, n_voters, metric, each, labels) for each in seeds[: draws.halves]]
    return Evidence(
        halves=tuple(agreement for agreement, _ in found),
        recovered=tuple(recovered for _, recovered in found),
        null=tuple(
            replicability(cloud, cluster, n_voters, metric, each) for each, cloud in zip(seeds, clouds, strict=False)
        ),
        purity=purity(graph, labels),
        separation=separation(points, labels),
        n_cells=size,
    )


def exceeds(drawn: Sequence[float], null: Sequence[float]) -> float:
    """Return the one-sided p that the mean of `drawn` is above that of `null`, by Student's t with a common variance.

    The variance is not taken below that of `LEAST_SPREAD`. Both need two draws at least.
    """
    with IMPORTING:
        from scipy.special import stdtr

    freedom = len(drawn) + len(null) - 2
    squares = sum(float(np.square(np.asarray(each) - np.mean(each)).sum()) for each in (drawn, null))
    variance = max(squares / freedom, LEAST_SPREAD**2)
    t = (float(np.mean(drawn)) - float(np.mean(null))) / np.sqrt(variance * (1 / len(drawn) + 1 / len(null)))
    return float(stdtr(freedom, -t))

"""Resolutions beside one another: on which plateau each lies, whether it stands, and which of them are candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cellstrata.tasks.advice.admissible import admissible
from cellstrata.tasks.advice.resolution_facts import ResolutionFacts
from cellstrata.tasks.stores.json_values import JsonObject

ALIKE = 0.9  # the adjusted Rand index from which two partitions are nearly the same
NEARLY = 0.1  # below the best a partition replicates nearly as well


@dataclass(frozen=True, kw_only=True)
class JudgedResolution:
    """A resolution beside the others.

    Attributes
    ----------
    resolution : float
    n_clusters, largest : int
        The clusters of level 1, and the cells of the largest.
    modularity : float
        At resolution 1.
    best_from, best_to : float or None
        Between which resolutions no other of these partitions has a higher modularity; both None where there are none,
        the second also where there is no end.
    agreement, stability : float or None
        Between its runs, as `ResolutionFacts` has them.
    replicability, recovered, expected, excess, p : float or None
        Its evidence.
    stands : bool or None
        Whether it passes the rules to stop; None where nothing is known of that.
    reason : str or None
        Why it does not.
    plateau : int
        Which one it is part of, counted from 0.
    """

    resolution: float
    n_clusters: int
    largest: int
    modularity: float
    best_from: float | None
    best_to: float | None
    agreement: float | None
    stability: float | None
    replicability: float | None
    recovered: float | None
    expected: float | None
    excess: float | None
    p: float | None
    stands: bool | None
    reason: str | None
    plateau: int

    @classmethod
    def from_json(cls, said: JsonObject) -> JudgedResolution:
        """Read an object that has these attributes. Raises WrongJson."""
        maybe = ("best_from", "best_to", "agreement", "stability", "replicability", "recovered", "expected", "excess",
                 "p")  # fmt: skip
        return cls(
            resolution=said.number("resolution"),
            n_clusters=said.whole("n_clusters"),
            largest=said.whole("largest"),
            modularity=said.number("modularity"),
            stands=said.truth_or_none("stands"),
            reason=said.text_or_none("reason"),
            plateau=said.whole("plateau"),
            **{name: said.number_or_none(name) for name in maybe},
        )

    @property
    def has_evidence(self) -> bool:
        """Tell whether halves of the cells were clustered."""
        return self.replicability is not None

    @property
    def measure(self) -> float:
        """How far its clusters are found again: in halves of the cells, and where these were not clustered in runs.

        Halves have to agree with one another, and with the partition.
        """
        if self.replicability is None or self.recovered is None:
            return self.stability or 0.0
        return min(self.replicability, self.recovered)


def judged(found: Sequence[ResolutionFacts]) -> tuple[JudgedResolution, ...]:
    """Set resolutions, ascending, beside one another."""
    ranges = admissible([one.within for one in found], [one.expected for one in found])
    rows, plateau = [], 0
    for one, best in zip(found, ranges, strict=True):
        evidence = one.evidence
        rows.append(
            JudgedResolution(
                resolution=one.resolution,
                n_clusters=one.n_clusters,
                largest=one.sizes[0] if one.sizes else 0,
                modularity=one.within - one.expected,
                best_from=None if best is None else best.low,
                best_to=None if best is None or math.isinf(best.high) else best.high,
                agreement=one.agreement,
                stability=one.stability,
                replicability=None if evidence is None else evidence.replicability,
                recovered=None if evidence is None else evidence.recovery,
                expected=None if evidence is None else evidence.expected,
                excess=None if evidence is None else evidence.excess,
                p=None if evidence is None else evidence.p,
                stands=None if evidence is None and one.reason is None else one.reason is None,
                reason=one.reason,
                plateau=plateau,
            )
        )
        plateau += one.next_alike is not None and one.next_alike < ALIKE
    return tuple(rows)


def comparable(resolutions: Sequence[JudgedResolution]) -> list[JudgedResolution]:
    """Return those of several clusters whose measures mean the same: of all with evidence, else with several runs."""
    several = [one for one in resolutions if one.n_clusters > 1]
    with_evidence = [one for one in several if one.has_evidence]
    return with_evidence or [one for one in several if one.stability is not None]


def candidates(resolutions: Sequence[JudgedResolution]) -> list[JudgedResolution]:
    """Return the candidate of each plateau on which a partition stands, or on which nothing is known of that."""
    plateaus: dict[int, list[JudgedResolution]] = {}
    for one in comparable(resolutions):
        if one.stands is not False:
            plateaus.setdefault(one.plateau, []).append(one)
    return [_of_plateau(each) for each in plateaus.values()]


def likeliest(resolutions: Sequence[JudgedResolution]) -> JudgedResolution | None:
    """Return the one that comes nearest to be found again, the lowest of equals; None where nothing is known."""
    return max(comparable(resolutions), key=lambda one: (one.measure, -one.resolution), default=None)


def _of_plateau(plateau: Sequence[JudgedResolution]) -> JudgedResolution:
    best = max(one.measure for one in plateau)
    near = [one for one in plateau if one.measure >= best - NEARLY]
    most = max(one.n_clusters for one in near)
    finest = [one for one in near if one.n_clusters == most]
    return finest[(len(finest) - 1) // 2]  # the middle of those that are the same

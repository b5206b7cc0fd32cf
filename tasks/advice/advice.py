"""What is advised: resolutions at which halves of the cells find the same clusters again, and a sentence that says why.

Resolutions that follow one another and give nearly the same clusters make a plateau. Of each plateau with a partition
that stands, the finest is a candidate that replicates nearly as well as the best there. Advised is the finest candidate
that replicates nearly as well as the best of all: coarser ones replicate at least as well, and lose what it shows.
Halves have to agree with one another and with the partition: else those of many clusters would pass by halves that
agree on few.
The most groups with a replicability near the best is the choice that R. Tibshirani and G. Walther propose for
prediction strength (Journal of Computational and Graphical Statistics 14, 2005). Without evidence the stability of the
runs takes its place. What else was tried is told in docs/advice.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from cellstrata.tasks.advice.candidates import NEARLY, JudgedResolution, candidates, judged, likeliest
from cellstrata.tasks.advice.resolution_facts import ResolutionFacts, resolution_facts
from cellstrata.tasks.advice.sentence import sentence
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.kernels.engines import Algorithm
from cellstrata.tasks.stores.json_values import JsonObject, WrongJson
from cellstrata.tasks.trees.facts import algorithm_of
from cellstrata.tasks.trees.plan import TreePlan

SCHEME = 1  # raise it when the same partitions are advised differently
MOST = 4  # candidates
FEWEST = 2  # resolutions, for one to be advised


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What is advised for one algorithm: `candidates` among the resolutions, ascending, of them `advised`, None where
    nothing speaks for one; `said` tells why in words."""

    algorithm: Algorithm
    resolutions: tuple[JudgedResolution, ...]
    candidates: tuple[float, ...]
    advised: float | None
    said: str

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "algorithm": self.algorithm,
            "advised": self.advised,
            "candidates": list(self.candidates),
            "said": self.said,
            "resolutions": [dict(vars(one)) for one in self.resolutions],
        }

    @classmethod
    def from_json(cls, value: object) -> Advice:
        """Read what `to_json` makes, of this version or another. Raises WrongJson."""
        said = JsonObject.of(value)
        return cls(
            algorithm=algorithm_of(said.text("algorithm")),
            resolutions=tuple(JudgedResolution.from_json(one) for one in said.objects("resolutions")),
            candidates=said.numbers_or_none("candidates") or (),
            advised=said.number_or_none("advised"),
            said=said.text("said"),
        )

    def verdict(self, row: JudgedResolution) -> str:
        """Return what a resolution is: `advised`, `candidate`, or nothing."""
        return "advised" if row.resolution == self.advised else "candidate" * (row.resolution in self.candidates)

    @property
    def is_telling(self) -> bool:
        """Tell whether it says something of the cells: halves of these were clustered, or they are one cluster."""
        return any(one.has_evidence for one in self.resolutions) or all(one.n_clusters < 2 for one in self.resolutions)

    @property
    def taken(self) -> tuple[float, ...]:
        """The resolutions that a run takes which leaves them to this: the candidates, or one without any."""
        nearest = likeliest(self.resolutions) or self.resolutions[0]
        return self.candidates or (nearest.resolution,)


def advise(algorithm: Algorithm, found: Sequence[ResolutionFacts]) -> Advice:
    """Say which of several resolutions to take.

    Parameters
    ----------
    algorithm
        Which made the partitions.
    found
        What is known of them, by ascending resolution; of one cluster alone nothing is known.
    """
    resolutions = judged(found)
    offered = candidates(resolutions)
    best = max((one.measure for one in offered), default=0.0)
    near = [one for one in offered if one.measure >= best - NEARLY]
    advised = max(near, key=lambda one: one.n_clusters, default=None)
    kept = sorted(offered, key=lambda one: (one is not advised, -one.measure))[:MOST]
    return Advice(
        algorithm=algorithm,
        resolutions=resolutions,
        candidates=tuple(sorted(one.resolution for one in kept)),
        advised=None if advised is None else advised.resolution,
        said=sentence(resolutions, advised),
    )


def advice_on(plans: Sequence[TreePlan], cache: Cache) -> Advice | None:
    """Say which of the resolutions to take that plans of one algorithm have split level 1 at.

    None with fewer than two resolutions, or where the cache lacks one of the splits. A partition stands by the plans'
    own rules to stop, and where these ask for no evidence by those of `stop: auto` too.

    Raises
    ------
    DamagedEntry
        If labels are missing, or the graph of all cells.
    """
    found = resolution_facts(plans, cache)
    return None if found is None or len(found) < FEWEST else advise(plans[0].algorithm, found)


def advice_of_json(text: str | None) -> tuple[Advice, ...]:
    """Return what the record of a result advises; nothing where it does not tell, or not in today's words."""
    try:
        return tuple(map(Advice.from_json, json.loads(text or "[]")))
    except WrongJson:
        return ()

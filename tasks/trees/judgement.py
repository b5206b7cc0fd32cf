"""What is known of a split beside its labels: its evidence, from where its children's cells are, whether it stands."""

from __future__ import annotations

from dataclasses import dataclass

from cellstrata.tasks.evidence.batches import BatchSpread
from cellstrata.tasks.evidence.evidence import Evidence
from cellstrata.tasks.markers.child_markers import TellingGenes


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is known of a split of at least two clusters.

    Attributes
    ----------
    reason : str or None
        Why it does not stand, None where it does.
    wanted : bool
        Whether that is not known before evidence is gathered.
    untold : bool
        Whether it is not known before genes are found that tell the children apart.
    evidence, evidence_key : Evidence and str, or None
        What is there of it, and its key in the cache.
    batches : tuple of (str, tuple of BatchSpread)
        For each of the columns asked for, and in it for each child, how its cells are spread.
    markers, markers_key : TellingGenes and str, or None
        How many genes tell the children apart, at the fold change of the rule that asks; and their key in the cache.
    """

    reason: str | None = None
    wanted: bool = False
    untold: bool = False
    evidence: Evidence | None = None
    evidence_key: str | None = None
    batches: tuple[tuple[str, tuple[BatchSpread, ...]], ...] = ()
    markers: TellingGenes | None = None
    markers_key: str | None = None


NOTHING = Judgement()

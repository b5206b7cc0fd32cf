"""The rules by which a split does not stand: each gives a reason, which begins with what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from cellstrata.configs.evidence import StopRules
from cellstrata.tasks.evidence.batches import BatchSpread
from cellstrata.tasks.evidence.evidence import Evidence
from cellstrata.tasks.markers.child_markers import TellingGenes

CHILDREN = 2  # that have to pass what is asked of children: a split of which one is left is none


def reason_at_once(
    rules: StopRules, sizes: Sequence[int], agreement: float | None, donors: Sequence[BatchSpread]
) -> str | None:
    """Return why a split does not stand, as far as that is known without halves; None where nothing speaks against it.

    `sizes` are the children's; `agreement` is that of the runs, None for a single one, which passes; `donors` tells
    for each child how its cells are spread, empty where no batches are known.
    """
    if rules.min_children_cells is not None and _second(sizes) < rules.min_children_cells:
        return f"children too small: {_second(sizes)} cells in the second (needs {rules.min_children_cells})"
    if rules.min_donors is not None and donors:
        groups = _second([child.groups for child in donors])
        if groups < rules.min_donors:
            return f"too few donors: {groups} in the second child (needs {rules.min_donors})"
    if rules.agreement is not None and agreement is not None and agreement < rules.agreement:
        return f"runs disagree: {agreement:z.2f} (needs {rules.agreement:g})"
    return None


def reason_of_evidence(rules: StopRules, evidence: Evidence) -> str | None:
    """Return why a split does not stand by its evidence; None where nothing speaks against it."""
    found, excess, p = evidence.replicability, evidence.excess, evidence.p
    if rules.replicability is not None and found < rules.replicability:
        return f"not replicable: {found:z.2f} (needs {rules.replicability:g})"
    said = f"replicability {found:z.2f}, {evidence.expected:z.2f} of clouds" if evidence.expected is not None else ""
    if rules.excess is not None and excess is not None and excess < rules.excess:
        return f"hardly above a cloud without groups: {said}, excess {excess:z.2f} (needs {rules.excess:g})"
    if rules.p is not None and p is not None and p > rules.p:
        return f"not surely above a cloud without groups: {said}, p {p:.2g} (needs {rules.p:g})"
    return None


def reason_of_markers(rules: StopRules, told: TellingGenes) -> str | None:
    """Return why a split does not stand by the genes that tell its children apart; None if nothing speaks against it.

    Children of which one has fewer over the other than are asked for count as one, and so do those that a chain of such
    joins. At least two have to be left, as where scrattch.hicat merges clusters.
    """
    if rules.min_markers is None or told.mutual >= rules.min_markers:
        return None
    where = "in the second child" if len(told.numbers) == CHILDREN else f"tell {len(told.numbers)} children apart"
    return f"too few markers: {told.mutual} {where} (needs {rules.min_markers})"


def _second(numbers: Sequence[int]) -> int:
    """Return the second largest number, 0 where there is none."""
    return sorted(numbers, reverse=True)[CHILDREN - 1] if len(numbers) >= CHILDREN else 0

"""Splits that say nothing, because nearly every cell is a cluster of its own."""

from __future__ import annotations

from cellstrata.tasks.trees.tree import Tree

FEW = 10  # cells, of which nothing is said
NEARLY_ALL = 0.9


def nearly_all_alone(tree: Tree) -> str:
    """Say in which splits of a tree nearly every cell is alone, whatever engine made them; empty if in none."""
    found = [
        (outcome, alone)
        for outcome in tree.outcomes.values()
        if outcome.facts is not None
        and outcome.judged.reason is None
        and outcome.n_cells >= FEW
        and (alone := sum(size == 1 for size in outcome.facts.sizes)) >= NEARLY_ALL * outcome.n_cells
    ]
    if not found:
        return ""
    first, alone = found[0]
    where = f"below {tree.label(first.path)}" if first.path else "at level 1"
    more = f", and so it is in {len(found) - 1} more splits" if len(found) > 1 else ""
    return (
        f"{tree.plan.name}: {where} {alone} of {first.n_cells} cells are each a cluster of its own{more}: "
        "take a lower resolution, or a graph with more edges"
    )

"""The notice of clusters that stay whole because none of the embeddings asked for can be derived from their cells."""

from __future__ import annotations

from cellstrata.tasks.trees.own_embedding import NoEmbedding
from cellstrata.tasks.trees.tree import Tree


def without_embedding(tree: Tree) -> str:
    """Say which clusters of a tree stay whole for want of an embedding of their own, and why; empty if none does."""
    left = {path: own for path, each in tree.outcomes.items() if isinstance(own := each.own, NoEmbedding)}
    found = sorted(path for path in left if path[:-1] not in left)  # a cluster once, and not again at deeper levels
    if not found:
        return ""
    first, more = found[0], f", as do {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"{tree.plan.name}: {tree.label(first)} stays whole, since it has {left[first].reason}{more}; "
        "`embedding: reuse` splits such clusters on that of all cells"
    )

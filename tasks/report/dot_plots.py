"""Dot plots of marker genes: how sisters express the best genes of one another, few bytes for each dot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellstrata.tasks.report.clusters import Grown
from cellstrata.tasks.results.marker_genes import Markers
from cellstrata.tasks.results.marker_profiles import Profile

MOST_DOTS = 500_000  # of a page, two bytes each before they are deflated


def dots_document(trees: Sequence[Grown], found: Markers | None, arrays: dict[str, np.ndarray]) -> dict[str, object]:
    """Return what is said of the families that have a dot plot, and put their values into `arrays`.

    `families` has for each its tree, the places of its parent (-1 at the top) and of its clusters there, how many more
    clusters it has (`more`), its genes, the highest mean of each, and by comparison the best genes of each cluster.
    `dots/means` are parts of the highest mean of a gene, `dots/shares` parts of the cells, from 0 to 255; gene by gene
    the clusters, then all cells. Levels come in their order, and those for which there is no room are counted: `left`.
    """
    places = {
        (row["column"], row["cluster"]): (number, at)
        for number, tree in enumerate(trees)
        for at, row in enumerate(tree.clusters)
    }
    known = [one for one in (found.profiles if found else ()) if all((one.column, of) in places for of in one.labels)]
    levels = [trees[tree].columns.index(one.column) for one in known for tree, _ in [places[one.column, one.labels[0]]]]
    shown: list[Profile] = []
    room = MOST_DOTS
    for at in sorted(range(len(known)), key=lambda at: levels[at]):
        if (size := known[at].means.size) <= room:
            shown.append(known[at])
            room -= size
    genes: dict[int, int] = {}
    for one in shown:
        for gene in one.family.genes.tolist():
            genes.setdefault(gene, len(genes))
    empty = [np.empty(0, np.uint8)]
    arrays["dots/means"] = np.concatenate([*empty, *(_parts(one.means, _highest(one)[:, None]) for one in shown)])
    arrays["dots/shares"] = np.concatenate([*empty, *(_parts(one.shares, np.float64(1)) for one in shown)])
    return {
        "matrix": found.matrix if found else "",
        "left": len(known) - len(shown),
        "genes": [str(found.genes[gene]) for gene in genes] if found else [],
        "families": [_family(one, genes, trees, places) for one in shown],
    }


def _family(
    one: Profile, genes: dict[int, int], trees: Sequence[Grown], places: dict[tuple[str, str], tuple[int, int]]
) -> dict[str, object]:
    own = [places[one.column, label] for label in one.labels]
    tree = own[0][0]
    return {
        "tree": tree,
        "parent": int(trees[tree].parents[own[0][1]]),
        "clusters": [at for _, at in own],
        "more": one.family.left_out,
        "genes": [genes[gene] for gene in one.family.genes.tolist()],
        "highest": [float(f"{value:.4g}") for value in _highest(one)],
        "best": one.family.best,
    }


def _highest(one: Profile) -> np.ndarray:
    """The highest mean of each gene, of all that are shown."""
    highest: np.ndarray = one.means.max(axis=1).astype(np.float64)
    return highest


def _parts(values: np.ndarray, highest: np.ndarray | np.float64) -> np.ndarray:
    parts: np.ndarray = np.rint(255 * values / np.where(highest > 0, highest, 1)).astype(np.uint8)
    return parts.ravel()

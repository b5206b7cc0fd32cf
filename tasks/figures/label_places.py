"""Where labels stand: at their cluster's middle, or beside it where another one stands already."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

RINGS, TURNS = 26, 20
FIELDS = 9  # of a grid over a cluster, each way
ENOUGH = 0.4  # of as many cells about the median as are about the densest field
APART = 1.5  # pixels between two labels
HIDDEN = 0.5  # of a cluster's cells below its label: it stands beside them
BESIDE = 4.0  # pixels from the middle of a cluster to a label beside it


def anchors(places: Points, codes: npt.NDArray[np.int32], n_labels: int) -> Points:
    """Return (n_labels, 2): for each label the cell nearest to the median of its cells; NaN without cells.

    The median of a cluster in two parts lies in neither, or in another cluster: there it is that of the densest part.
    """
    found = np.full((n_labels, 2), np.nan)
    usable = np.flatnonzero((codes >= 0) & np.isfinite(places).all(axis=1))
    order = usable[np.argsort(codes[usable], kind="stable")]
    edges = np.searchsorted(codes[order], np.arange(n_labels + 1))
    for label, (start, end) in enumerate(pairwise(edges)):
        if end > start:
            own = places[order[start:end]]
            near = _together(own)
            apart = ((near - np.median(near, axis=0)) ** 2).sum(axis=1)
            found[label] = near[apart.argmin()]
    return found


def _together(places: Points) -> Points:
    """Return all places if their median lies among them, else those in a grid's fullest 3 by 3 fields."""
    low, high = np.quantile(places, [0.05, 0.95], axis=0)
    width = np.maximum((high - low) / FIELDS, 1e-9)
    field = np.clip((places - low) // width, 0, FIELDS - 1).astype(np.int64) + 1
    counts = np.bincount(field[:, 0] * (FIELDS + 2) + field[:, 1], minlength=(FIELDS + 2) ** 2)
    grid = counts.reshape(FIELDS + 2, FIELDS + 2)
    shifts = (-1, 0, 1)
    around = np.sum([np.roll(grid, (i, j), axis=(0, 1)) for i in shifts for j in shifts], axis=0)[1:-1, 1:-1]
    i, j = np.clip((np.median(places, axis=0) - low) // width, 0, FIELDS - 1).astype(np.int64)
    if around[i, j] >= ENOUGH * around.max():
        return places
    full = np.argwhere(around == around.max())
    middle = full[np.argmin(((full - full.mean(axis=0)) ** 2).sum(axis=1))] + 1
    return np.asarray(places[(np.abs(field - middle) <= 1).all(axis=1)])


def hides(places: Points, codes: npt.NDArray[np.int32], middles: Points, sizes: Points) -> npt.NDArray[np.bool_]:
    """Tell for each label whether at its middle it would cover most cells of its cluster.

    `places` (n, 2) and `codes` (n,) are those of the cells, `middles` and `sizes` (k, 2) the labels', in pixels.
    """
    usable = (codes >= 0) & np.isfinite(places).all(axis=1)
    own = codes[usable]
    below = (np.abs(places[usable] - middles[own]) <= sizes[own] / 2).all(axis=1)
    cells = np.bincount(own, minlength=len(middles))
    return np.asarray(np.bincount(own[below], minlength=len(middles)) > HIDDEN * cells)


def place_labels(
    middles: Points,
    sizes: Points,
    first: npt.NDArray[np.int64],
    width: float,
    height: float,
    beside: npt.NDArray[np.bool_] | None = None,
) -> Points:
    """Return (k, 2) centres of labels that do not overlap, NaN for those that find no room.

    Parameters
    ----------
    middles
        (k, 2): where they would stand best, in pixels.
    sizes
        (k, 2): their widths and heights in pixels.
    first
        Who chooses first, indices into them; the others make way.
    width, height
        Of the panel that they stay in.
    beside
        (k,): which must leave their middle free.
    """
    found = np.full((len(middles), 2), np.nan)
    taken = np.empty((0, 4))
    angles = np.arange(TURNS) * (2 * np.pi / TURNS)
    circle = np.column_stack([np.cos(angles), 0.8 * np.sin(angles)])
    for label in first:
        if not np.isfinite(middles[label]).all():
            continue
        reach = np.repeat(np.arange(1, RINGS + 1), TURNS)[:, None] * (0.45 * sizes[label, 1])
        tries = middles[label] + np.vstack([[0.0, 0.0], np.tile(circle, (RINGS, 1)) * reach])
        half = sizes[label] / 2 + APART / 2
        tries = np.clip(tries, half, np.maximum([width, height] - half, half))
        boxes = np.hstack([tries - half, tries + half])
        free = ~_overlap(boxes, taken).any(axis=1)
        if beside is not None and beside[label]:
            middle = np.hstack([middles[label] - BESIDE, middles[label] + BESIDE])[None]
            free &= ~_overlap(boxes, middle)[:, 0]
        if free.any():
            chosen = int(free.argmax())
            found[label] = tries[chosen]
            taken = np.vstack([taken, boxes[chosen]])
    return found


def _overlap(a: Points, b: Points) -> npt.NDArray[np.bool_]:
    """Tell for each two boxes (left, top, right, bottom) whether they overlap."""
    across = (a[:, None, 0] < b[None, :, 2]) & (b[None, :, 0] < a[:, None, 2])
    return np.asarray(across & (a[:, None, 1] < b[None, :, 3]) & (b[None, :, 1] < a[:, None, 3]))

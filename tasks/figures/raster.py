"""Cells as an image: one disc a cell, drawn in a fixed order, as fast for a million cells as for a thousand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FINER = 3  # the image is made so much larger and then averaged: smooth edges
MARGIN = 0.03  # of the panel's side, free at each edge
ORDER_SEED = 0
AT_ONCE = 1 << 22  # points painted at a time


def finite_rows(embedding: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Tell which cells have a place."""
    return np.asarray(np.isfinite(embedding[:, :2]).all(axis=1))


def positions(embedding: npt.NDArray[np.floating], side: int) -> npt.NDArray[np.float64]:
    """Return (n, 2) places in pixels from the left and the top of a square panel, NaN for cells without.

    Both axes have the same scale, the cells' middle is the panel's.
    """
    xy = np.asarray(embedding[:, :2], np.float64)
    there = xy[finite_rows(xy)]
    if not len(there):
        return np.full((len(xy), 2), np.nan)
    low, high = there.min(axis=0), there.max(axis=0)
    extent = float((high - low).max()) or 1.0
    free = MARGIN * side
    places = (xy - (low + high) / 2) * ((side - 2 * free) / extent)
    return np.column_stack([side / 2 + places[:, 0], side / 2 - places[:, 1]])


def draw_order(n: int, last: npt.NDArray[np.floating] | None = None) -> npt.NDArray[np.int64]:
    """Return the order in which `n` cells are drawn: random, but always the same.

    With `last`, (n,) values, larger ones are drawn later, so on top; NaN comes first.
    """
    order = np.random.default_rng(ORDER_SEED).permutation(n)
    if last is None:
        return order
    values = np.nan_to_num(last[order], nan=-np.inf)
    return np.asarray(order[np.argsort(values, kind="stable")])


def radius(n: int, side: int) -> float:
    """Return the radius in pixels of a cell's disc on a panel of `side` pixels."""
    return float(np.clip(0.3 * side / np.sqrt(max(n, 1)), side / 1100, side / 110))


def paint(
    places: npt.NDArray[np.float64],
    rgb: npt.NDArray[np.uint8],
    order: npt.NDArray[np.int64],
    side: int,
    size: float,
) -> npt.NDArray[np.uint8]:
    """Paint discs of `size` pixels' radius and return a (side, side, 4) RGBA image, clear where no cell is.

    `places` are those of `positions`, `rgb` is (n, 3), or (colours, ) looked up by the caller; who is later in
    `order` covers who was before.
    """
    wide = side * FINER
    drawn = order[np.isfinite(places[order]).all(axis=1)]
    column, row = np.clip((places[drawn] * FINER).astype(np.int64), 0, wide - 1).T
    top = np.full(wide * wide, -1, np.int32)
    rank = np.arange(len(drawn), dtype=np.int32)
    top[row * wide + column] = rank  # of those in one place the last one alone is seen
    rank = np.sort(top[top >= 0])
    column, row = column[rank], row[rank]
    top.fill(-1)
    dx, dy = _disc(size * FINER)
    step = max(1, AT_ONCE // len(dx))
    for start in range(0, len(rank), step):
        part = slice(start, start + step)
        x, y = column[part, None] + dx, row[part, None] + dy
        inside = (x >= 0) & (x < wide) & (y >= 0) & (y < wide)
        top[(y * wide + x)[inside]] = np.broadcast_to(rank[part, None], inside.shape)[inside]
    return _averaged(top.reshape(wide, wide), rgb[drawn], side)


def _disc(size: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    reach = int(np.floor(size))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    within = dx**2 + dy**2 <= size**2
    return dx[within], dy[within]


def _averaged(top: npt.NDArray[np.int32], rgb: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Average blocks of pixels: the colour of those that are covered, and how many are."""
    # Red, green, blue and one pixel side by side in a number of 64 bits: their sums in one addition.
    shifts = np.arange(0, 64, 16, dtype=np.uint64)
    pixels = np.column_stack([rgb, np.ones(len(rgb), np.uint8)]).astype(np.uint64)
    packed = np.append((pixels << shifts).sum(axis=1, dtype=np.uint64), np.uint64(0))  # -1 finds the last
    blocks = [top[dy::FINER, dx::FINER] for dy in range(FINER) for dx in range(FINER)]
    sums = np.zeros((side, side), np.uint64)
    for block in blocks:
        sums += packed[block]
    seen = sums > 0
    *colors, covered = (((sums[seen] >> shift) & np.uint64(0xFFFF)).astype(np.float32) for shift in shifts)
    image = np.zeros((side, side, 4), np.uint8)
    for channel, total in enumerate(colors):
        image[seen, channel] = np.rint(total / covered)
    image[seen, 3] = np.rint(255 * covered / FINER**2)
    return image

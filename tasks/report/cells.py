"""Which cells the page shows, where, and in what order: few bytes each, and no cluster is left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SHOWN = 250_000  # cells on the page: more than a screen has room for
BYTES = 5_500_000  # for the cells, before they are deflated
EACH = 20  # cells of each cluster that are shown in any case
STEPS = 65_535  # of a coordinate

Codes = npt.NDArray[np.int32]


def room_for(n_arrays: int, n_genes: int = 0) -> int:
    """Return how many cells fit where each has so many codes of up to two bytes, and of one, besides its place."""
    return min(SHOWN, BYTES // (4 + 2 * n_arrays + n_genes))


def chosen(n: int, room: int, groupings: Sequence[Codes], usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the ascending rows of the cells to show: all that are usable, or a seeded random part.

    `groupings` are (n,) codes, -1 for none; of each group a few cells are among them, beyond `room` if
    need be.
    """
    rows = np.flatnonzero(usable)
    if len(rows) <= room:
        return rows
    order = rows[np.random.default_rng(0).permutation(len(rows))]
    taken = np.zeros(n, dtype=bool)
    taken[order[:room]] = True
    for codes in groupings:
        by_group = order[np.argsort(codes[order], kind="stable")]
        sorted_codes = codes[by_group]
        first = np.searchsorted(sorted_codes, sorted_codes, side="left")
        taken[by_group[(np.arange(len(by_group)) - first < EACH) & (sorted_codes >= 0)]] = True
    return np.flatnonzero(taken)


def quantised(points: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Return the places of cells, (n, 2) finite, on a square grid of 65,536 steps; both axes keep their scale."""
    if not len(points):
        return np.empty(0, np.uint16), np.empty(0, np.uint16)
    points = points.astype(np.float64)
    low = points.min(axis=0)
    span = float((points - low).max()) or 1.0
    steps = np.rint((points - low) * (STEPS / span)).astype(np.uint16)
    return steps[:, 0], steps[:, 1]


def near_each_other(x: npt.NDArray[np.uint16], y: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """Return an order in which cells that follow one another lie close together (Morton's), so that their
    places and clusters deflate well."""
    return np.argsort(_spread(x) | (_spread(y) << np.uint32(1)), kind="stable")


def _spread(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint32]:
    """Put a zero before each bit."""
    bits = values.astype(np.uint32)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        bits = (bits | (bits << np.uint32(shift))) & np.uint32(mask)
    return bits


def steps_between(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Return the differences of values that follow one another, modulo 65,536; the first is itself."""
    return np.diff(values, prepend=np.uint16(0)).astype(np.uint16)

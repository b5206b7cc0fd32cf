"""What evidence is tried on: clouds without groups, and planted trees of which the groups are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHAPES = ("isotropic", "stretched", "one long axis", "uniform", "curved sheet")
Floats = npt.NDArray[np.float32]
Path = tuple[int, ...]


def cloud(shape: str, n_cells: int, n_dims: int, seed: int) -> Floats:
    """Return a cloud without groups, (n_cells, n_dims) float32."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n_cells, n_dims))
    if shape == "stretched":
        points *= np.geomspace(10, 1, n_dims)
    elif shape == "one long axis":
        points[:, 0] *= 10
    elif shape == "uniform":
        points = rng.uniform(size=(n_cells, n_dims))
    elif shape == "curved sheet":
        along, across = rng.uniform(-1, 1, (2, n_cells))
        points *= 0.05
        points[:, 0] += np.cos(along * np.pi * 0.75)
        points[:, 1] += np.sin(along * np.pi * 0.75)
        points[:, 2] += 1.5 * across
    return points.astype(np.float32)


@dataclass(frozen=True)
class Planted:
    """A tree that was planted: the cells' points (n, d) float32, and the path of the leaf of each, by position in
    `leaves`. `clear` tells for each split how well the nearest of its children's middles tells from where a cell is:
    the mean over children of the share that is told rightly."""

    points: Floats
    codes: npt.NDArray[np.int32]
    leaves: tuple[Path, ...]
    clear: dict[Path, float]

    def of(self, path: Path) -> npt.NDArray[np.bool_]:
        """Return which cells lie in a node, (n,)."""
        inside = [leaf[: len(path)] == path for leaf in self.leaves]
        return np.array(inside)[self.codes]


def plant(seed: int, separation: float, n_dims: int = 20, most_cells: int = 20_000, depth: int = 3) -> Planted:
    """Plant a tree of `depth` levels: 2 to 6 children a node, sizes up to 1:20, the middles of sisters `separation`
    standard deviations of a leaf from one another, three times as far at each level further up."""
    rng = np.random.default_rng(seed)
    middles: dict[Path, npt.NDArray[np.float64]] = {(): np.zeros(n_dims)}
    weights: dict[Path, float] = {(): 1.0}
    splits: list[Path] = []
    for level in range(depth):
        for path in [path for path in middles if len(path) == level]:
            ends = level > 0 and rng.random() < 0.3
            if ends:
                continue
            n = int(rng.integers(2, 7 if level == 0 else 4))
            shares = np.geomspace(1, float(rng.uniform(1, 20)), n)
            shares /= shares.sum()
            ways = np.linalg.qr(rng.normal(size=(n_dims, n)))[0].T  # at right angles: sisters equally far apart
            reach = separation / np.sqrt(2) * 3.0 ** (depth - 1 - level)
            for child in range(n):
                middles[(*path, child)] = middles[path] + reach * ways[child]
                weights[(*path, child)] = weights[path] * shares[child]
            splits.append(path)
    leaves = tuple(path for path in middles if path not in splits)
    wanted = np.array([weights[leaf] for leaf in leaves])
    smallest = 60  # cells of a leaf
    sizes = np.maximum((wanted * min(most_cells, smallest / wanted.min())).astype(int), smallest)
    codes = np.repeat(np.arange(len(leaves), dtype=np.int32), sizes)
    points = np.vstack([middles[leaf] + rng.normal(size=(n, n_dims)) for leaf, n in zip(leaves, sizes, strict=True)])
    order = rng.permutation(len(codes))
    planted = Planted(points[order].astype(np.float32), codes[order], leaves, {})
    return Planted(planted.points, planted.codes, leaves, {path: _clear(planted, path) for path in splits})


def _clear(planted: Planted, path: Path) -> float:
    """How well the nearest middle of a node's children tells from which a cell is."""
    children = sorted({leaf[: len(path) + 1] for leaf in planted.leaves if leaf[: len(path)] == path})
    parts = [planted.points[planted.of(child)].astype(np.float64) for child in children]
    middles = np.array([part.mean(0) for part in parts])
    told = [
        float((np.square(part[:, None] - middles[None]).sum(2).argmin(1) == number).mean())
        for number, part in enumerate(parts)
    ]
    return float(np.mean(told))

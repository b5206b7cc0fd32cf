"""Draw docs/demo.png from the demo's result: `python docs/draw_demo.py cellstrata-demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(folder: str) -> None:
    """Draw the three levels on the UMAP, and the tree as an icicle beside them."""
    result = next(Path(folder).glob("out/clustering/dataset~test_hierarchical_int/*.zarr"))
    adata = anndata.read_zarr(result)
    columns = [name for name in adata.obs if name.startswith("leiden_0.5_")]
    level1 = adata.obs[columns[0]].cat.categories
    hue = {cluster: matplotlib.colormaps["tab10"](i % 10) for i, cluster in enumerate(level1)}
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), width_ratios=[1, 1, 1, 1.15], layout="constrained")
    umap = np.asarray(adata.obsm["X_umap"])
    for axis, column in zip(axes, columns, strict=False):
        labels = adata.obs[column].astype(str)
        colours = [shade(hue, label, labels) for label in labels]
        axis.scatter(*umap.T, c=colours, s=7, linewidths=0)
        for label in labels.unique():
            x, y = np.median(umap[labels == label], axis=0)
            if column != columns[-1] and (labels == label).sum() >= 40:  # no room further down
                axis.text(x, y, label, fontsize=7, ha="center", va="center", weight="bold",
                          bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7})  # fmt: skip
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{column}: {labels.nunique()} clusters", fontsize=10)
        axis.spines[:].set_visible(False)
    icicle(axes[3], adata.obs[columns].astype(str), hue)
    figure.savefig(Path(__file__).parent / "demo.png", dpi=110)


def shade(hue: dict[str, tuple[float, ...]], label: str, labels: object) -> tuple[float, ...]:
    """Give a cluster its level-1 ancestor's colour, lighter the further down the family it comes."""
    own, *rest = label.split("_")
    lighter = min(0.75, 0.22 * sum(int(part) for part in rest))
    return tuple(np.asarray(hue[own][:3]) * (1 - lighter) + lighter)


def icicle(axis: plt.Axes, levels: object, hue: dict[str, tuple[float, ...]]) -> None:
    """Draw the tree: a row a level, a cluster's width its share of the cells."""
    deepest = levels.columns[-1]
    order = levels.sort_values(deepest, key=lambda s: s.map(lambda t: tuple(map(int, t.split("_")))))
    for row, column in enumerate(levels.columns):
        start = 0
        for label, size in order.groupby(column, sort=False).size().items():
            axis.barh(-row, size, left=start, height=0.96, color=shade(hue, label, None), ec="white", lw=0.6)
            if column != deepest and size > 45:
                axis.text(start + size / 2, -row, label, ha="center", va="center", fontsize=7)
            start += size
    axis.set(yticks=[0, -1, -2], yticklabels=["level 1", "level 2", "level 3"], xticks=[])
    axis.set_title("the tree, by share of cells", fontsize=10)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


if __name__ == "__main__":
    main(sys.argv[1])

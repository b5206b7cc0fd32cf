"""`python -m benchmarks.evidence [DATA …] --json FILE`: does a tree that ends by itself end where the data end?

Parts, all unless `--parts` names some:

- `null`: clouds without groups of many sizes and shapes, with and without `stop: auto`: how many are split;
- `power`: planted trees of three levels: how many planted splits are found, and in how many branches the tree has
  exactly the planted leaf;
- `real`: for each h5ad with X_pca and known labels: the tree that comes, against trees of fixed depth;
- `cost`: seconds of all evidence of three levels against those of the splits.

The file has what was measured of all parts so far, each row in place of the one that it repeats.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.evidence_clouds import SHAPES, Planted, cloud, plant
from benchmarks.evidence_trees import Asked, grown, levels
from benchmarks.rows import KNOWN, runs, write_row
from cellstrata.configs.evidence import NEVER, EvidenceConfig
from cellstrata.tasks.trees.tree import Tree

SAME = ("data", "separation", "resolution", "way", "ensemble")  # what tells rows apart
FOUND = 0.75  # the Jaccard index from which a planted group counts as found
CLEAR = 0.95  # how well an oracle tells cells, for a planted split to count
Row = dict[str, object]


def main() -> None:
    """Measure what is asked for, and write it down after every row."""
    options = _options()
    for part in options.parts:
        for row in PARTS[part](options):
            print(part, row, flush=True)
            if options.json:
                write_row(Path(options.json), part, row, SAME)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", metavar="DATA", help="an h5ad with X_pca")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--clouds", type=int, default=200, help="how many clouds without groups")
    parser.add_argument("--most_cells", type=int, default=10_000, help="of a planted tree")
    parser.add_argument("--trees", type=int, default=20, help="how many planted trees of each separation")
    parser.add_argument("--separations", type=float, nargs="+", default=[3.5, 4.0, 5.0, 7.0])
    parser.add_argument("--ensemble", type=runs, default="auto", help="runs of each split")
    parser.add_argument("--known", nargs="*", default=list(KNOWN), help="obs columns of known labels")
    parser.add_argument("--json", metavar="FILE", help="write the measurements here")
    return parser.parse_args()


def _null(options: argparse.Namespace) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    asked = [
        (SHAPES[number % len(SHAPES)], int(np.exp(rng.uniform(np.log(60), np.log(20_000)))), int(rng.integers(5, 51)))
        for number in range(options.clouds)
    ]
    ways: list[tuple[float, int | str]] = [(resolution, 1) for resolution in options.resolutions]
    for resolution, hierarchy in [*ways, (0.5, "until_stable")]:
        split: dict[str, list[bool]] = {shape: [] for shape in SHAPES}
        bare: dict[str, list[bool]] = {shape: [] for shape in SHAPES}
        highest = []
        how = Asked(resolution=resolution, hierarchy=hierarchy, ensemble=options.ensemble)
        for number, (shape, n_cells, n_dims) in enumerate(asked):
            tree = grown(cloud(shape, n_cells, n_dims, number), how)
            root = tree.outcomes[()]
            bare[shape].append(root.facts is not None and len(root.facts.sizes) > 1)
            split[shape].append(root.reason is None)
            if (found := root.judged.evidence) is not None:
                highest.append((round(found.replicability, 3), round(found.excess or 0.0, 3), shape, n_cells, n_dims))
        every, without = ([one for of in each.values() for one in of] for each in (split, bare))
        yield {
            "resolution": resolution,
            "way": "until stable" if hierarchy == "until_stable" else "stop: auto",
            "clouds": len(every),
            "split": float(np.mean(every)),
            "split_without": float(np.mean(without)),
            "split_of_shape": {shape: [sum(of), sum(bare[shape]), len(of)] for shape, of in split.items()},
            "most_replicable": sorted(highest, reverse=True)[:5],
        }


def _power(options: argparse.Namespace) -> Iterator[Row]:
    for separation in options.separations:
        trees = [plant(seed, separation, most_cells=options.most_cells) for seed in range(options.trees)]
        for resolution in options.resolutions:
            started, found = time.perf_counter(), []
            for planted in trees:
                found.append(
                    _compared(planted, grown(planted.points, Asked(resolution=resolution, ensemble=options.ensemble)))
                )
            clear = [one for each in found for one in each[0]]
            branches = [one for each in found for one in each[1]]
            yield {
                "separation": separation,
                "resolution": resolution,
                "cells": int(np.mean([len(each.points) for each in trees])),
                "trees": len(trees),
                "splits": len(clear),
                "splits_found": float(np.mean(clear)) if clear else None,
                "branches": len(branches),
                "depth_exact": float(np.mean(branches)) if branches else None,
                "seconds": round(time.perf_counter() - started, 1),
            }


def _compared(planted: Planted, tree: Tree) -> tuple[list[bool], list[bool]]:
    """Return of each planted split whether its children are told apart by the leaves of the tree, and of each planted
    leaf whether one of the tree's is it, neither more nor less; of splits alone that are clear, as all above are."""
    clear = {path for path, told in planted.clear.items() if told >= CLEAR}
    reached = {path for path in clear if all(path[:n] in clear for n in range(len(path)))}
    found = []
    for path in sorted(reached):
        children = sorted({leaf[: len(path) + 1] for leaf in planted.leaves if leaf[: len(path)] == path})
        groups = [planted.of(child) for child in children]
        counts = np.array([np.bincount(tree.codes[group], minlength=len(tree.leaves)) for group in groups])
        told, inside = counts.argmax(0)[tree.codes], np.any(groups, axis=0)
        joined = [(told == number) & inside for number in range(len(groups))]
        found.append(all(_best(group, [own]) >= FOUND for group, own in zip(groups, joined, strict=True)))
    last = [tree.codes == number for number in range(len(tree.leaves))]
    whole = [leaf for leaf in planted.leaves if all(leaf[:n] in clear for n in range(len(leaf)))]
    return found, [_best(planted.of(leaf), last) >= FOUND for leaf in whole]


def _best(group: np.ndarray, nodes: list[np.ndarray]) -> float:
    """The best Jaccard index of a group of cells with any of others."""
    return max(float((group & node).sum() / (group | node).sum()) for node in nodes)


def _real(options: argparse.Namespace) -> Iterator[Row]:
    import anndata
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    for path in options.data:
        data = anndata.read_h5ad(path, backed="r")
        points = np.asarray(data.obsm["X_pca"], np.float32)
        known = {name: data.obs[name] for name in options.known if name in data.obs}
        for resolution in options.resolutions:
            with tempfile.TemporaryDirectory() as folder:
                ways = {"until stable": grown(points, Asked(resolution=resolution, ensemble=options.ensemble), folder)}
                ways["depth 3"] = grown(
                    points, Asked(resolution=resolution, hierarchy=3, stop=NEVER, ensemble=options.ensemble), folder
                )
            for way, tree in ways.items():
                depths = levels(tree) if way == "depth 3" else {tree.plan.depth: tree.codes}
                for depth, labels in depths.items():
                    row: Row = {
                        "data": Path(path).stem,
                        "resolution": resolution,
                        "way": f"depth {depth}" if way == "depth 3" else way,
                        "clusters": int(labels.max()) + 1,
                    }
                    if way != "depth 3":
                        row["levels"] = tree.plan.depth
                        row["root"] = (
                            tree.outcomes[()].judged.evidence and tree.outcomes[()].judged.evidence.replicability
                        )
                    for name, values in known.items():
                        there = values.notna().to_numpy()
                        pair = values[there].astype(str).to_numpy(), labels[there]
                        row[name] = {"ari": adjusted_rand_score(*pair), "nmi": normalized_mutual_info_score(*pair)}
                    yield row


def _cost(options: argparse.Namespace) -> Iterator[Row]:
    import anndata

    for path in options.data:
        points = np.asarray(anndata.read_h5ad(path, backed="r").obsm["X_pca"], np.float32)
        for resolution in options.resolutions:
            for ensemble in (1, "auto"):
                with tempfile.TemporaryDirectory() as folder:
                    seconds = []
                    for draws in (None, EvidenceConfig()):
                        started = time.process_time()
                        asked = Asked(resolution=resolution, hierarchy=3, stop=NEVER, draws=draws, ensemble=ensemble)
                        grown(points, asked, folder)
                        seconds.append(time.process_time() - started)
                    yield {
                        "data": Path(path).stem, "resolution": resolution, "ensemble": ensemble,
                        "splits": seconds[0], "evidence": seconds[1], "ratio": seconds[1] / seconds[0],
                    }  # fmt: skip


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "null": _null,
    "power": _power,
    "real": _real,
    "cost": _cost,
}


if __name__ == "__main__":
    main()

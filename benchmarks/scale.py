"""`python -m benchmarks.scale`: how time and memory grow; a deep tree; many small data sets.

`cells N …` runs planted sets of these sizes (50 dimensions, three resolutions, two levels) and draws the
curve; `tree` a tree of some 5,000 nodes over 200,000 cells, six levels deep; `many` 200 sets of 700 cells;
`genes` 20,000 cells whose X has 30 or 30,000 genes, which must not matter.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sqlite3
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contestants import Task, command
from benchmarks.server import running_server
from benchmarks.synthetic import write_synthetic

SIZES = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000]


def main() -> None:
    """Run what is asked for, print it, and write it as JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale", description=__doc__)
    parser.add_argument("what", choices=["cells", "tree", "many", "genes"])
    parser.add_argument("sizes", nargs="*", type=int, help="numbers of cells, or the number of sets")
    parser.add_argument("--json", help="write the measurements here")
    parser.add_argument("--chart", help="draw the curve into this PNG")
    parser.add_argument("--against", type=Path, help="another checkout, which splits the same cells in turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = {"cells": partial(_cells, against=options.against), "tree": _tree, "many": _many, "genes": _genes}[
            options.what
        ](place, options.sizes)
    print(json.dumps(made, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(made, indent=1) + "\n")
    if options.chart:
        draw(made["rows"], Path(options.chart))


def _cells(place: Path, sizes: list[int], against: Path | None = None) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    before: list[dict[str, Any]] = []
    with running_server(f"{place}/server") as server:
        for n in sizes or SIZES:
            data = write_synthetic(place / f"cells_{n}.h5ad", n)
            rows.append(_split_cells(data, n, place, server))
            print(rows[-1], flush=True)
            if against is not None:
                before.append(_split_cells(data, n, place, server, against))
                print("before:", before[-1], flush=True)
            data.unlink()
    exponent = {"exponent": exponents(rows), "cpu_exponent": exponents(rows, "cpu")}
    return {"rows": rows, **exponent, **({"before": before} if before else {})}


def _split_cells(data: Path, n: int, place: Path, server: str, checkout: Path | None = None) -> dict[str, Any]:
    """Split planted cells at three resolutions and two levels, cold, by this build or another."""
    with tempfile.TemporaryDirectory(dir=place) as own:
        config = Task(str(data), depth=2).config(Path(own), checkout)
        run, document = command(config, server, f"{place}/home{'-before' if checkout else ''}", checkout)
    report = document["datasets"]["data/file"]
    return {
        "cells": n, "wall": round(run.wall, 1), "cpu": round(run.cpu, 1), "peak_mb": round(run.peak_mb),
        "splits": report["splits"]["executed"], "modularity": report["modularity"],
    }  # fmt: skip


def exponents(rows: list[dict[str, Any]], what: str = "wall") -> dict[str, float]:
    """Return, for each two neighbouring sizes and for 200,000 to 1,000,000, the power with which time grows."""
    pairs = list(itertools.pairwise(rows))
    ends = {row["cells"]: row for row in rows}
    if 200_000 in ends and 1_000_000 in ends:
        pairs.append((ends[200_000], ends[1_000_000]))
    return {
        f"{a['cells']} to {b['cells']}": round(math.log(b[what] / a[what]) / math.log(b["cells"] / a["cells"]), 3)
        for a, b in pairs
    }


def _tree(place: Path, sizes: list[int]) -> dict[str, Any]:
    """A deep tree: small k and a high resolution make many nodes."""
    n = sizes[0] if sizes else 200_000
    data = write_synthetic(place / "tree.h5ad", n)
    more = {"neighbors": {"use_rep": "X_pca", "n_neighbors": 8}}
    with running_server(f"{place}/server") as server:
        config = Task(str(data), resolutions=(1.0,), depth=6, more=more).config(place)
        run, document = command(config, server, f"{place}/home")
        again, _ = command(config, server, f"{place}/home")
    report = document["datasets"]["data/file"]
    seconds = _split_seconds(place / "cache")
    with sqlite3.connect(place / "server" / "prefect.db") as database:
        tasks = database.execute("select count(*) from task_run").fetchone()[0]
    splits = report["splits"]["executed"] + report["splits"]["cached"]
    return {
        "cells": n, "splits": splits, "leaves": max(report["clusters"].values()),
        "task_runs_of_both": tasks, "wall": run.wall, "cpu": run.cpu, "peak_mb": run.peak_mb, "warm_wall": again.wall,
        "warm_ms_a_node": round(1000 * again.wall / splits, 2), "seconds_in_splits": round(seconds, 1),
    }  # fmt: skip


def _split_seconds(cache: Path) -> float:
    """Add up the seconds that the splits themselves took, as their records say."""
    total = 0.0
    for path in cache.glob("v*/records/*/*.json"):
        document = json.loads(path.read_text())
        total += document["body"]["seconds"] if document["kind"] == "split" else 0.0
    return total


def _many(place: Path, sizes: list[int]) -> dict[str, Any]:
    """Many small data sets, each with cells of its own, by a run with its own server."""
    number = sizes[0] if sizes else 200
    clustering = {"algorithm": "leiden", "resolutions": [0.2, 0.5, 1.0], "hierarchy": 3, "recompute_neighbors": True}
    datasets = {}
    for i in range(number):
        path = write_synthetic(place / f"small_{i}.h5ad", 700, seed=i)
        datasets[f"small{i}"] = {"input": {"clustering": {"file": str(path)}}, "clustering": clustering}
    config = place / "config.yaml"
    config.write_text(json.dumps({"output_dir": f"{place}/out", "cache": f"{place}/cache", "DATASETS": datasets}))
    rows = {}
    for what in ("cold", "warm"):
        run, document = command(config, None, f"{place}/home")
        failed = [name for name, report in document["datasets"].items() if "error" in report]
        rows[what] = {"wall": run.wall, "seconds_each": run.wall / number, "peak_mb": run.peak_mb, "failed": failed}
    return {"data_sets": number, **rows}


def _genes(place: Path, sizes: list[int]) -> dict[str, Any]:
    """The same cells with few and with many genes in X."""
    n, rows = sizes[0] if sizes else 20_000, []
    with running_server(f"{place}/server") as server:
        for genes in (30, 30_000):
            data = write_synthetic(place / f"genes_{genes}.h5ad", n, n_genes=genes)
            own = place / str(genes)
            own.mkdir()
            run, _ = command(Task(str(data)).config(own), server, f"{place}/home")
            megabytes = round(data.stat().st_size / 2**20)
            rows.append({"genes": genes, "file_mb": megabytes, "wall": run.wall, "peak_mb": run.peak_mb})
            data.unlink()
    return {"cells": n, "rows": rows}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds and memory against cells, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    cells = [row["cells"] for row in rows]
    for axis, name, title in zip(axes, ("wall", "peak_mb"), ("seconds", "peak memory, MiB"), strict=True):
        axis.loglog(cells, [row[name] for row in rows], "o-", color="#0072B2")
        for row in rows:
            axis.annotate(
                f"{row[name]:.0f}",
                (row["cells"], row[name]),
                (-6, 5),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )
        axis.set_xlabel("cells")
        axis.set_title(title, fontsize=10, loc="left")
        axis.margins(0.15)
        axis.grid(alpha=0.3, which="both", linewidth=0.4)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()

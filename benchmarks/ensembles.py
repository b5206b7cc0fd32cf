"""`python -m benchmarks.ensembles DATA … [--synthetic N …]`: what ensembles cost, in turn with single runs.

`cellstrata run`, cold, with its own server, three resolutions and three levels, with `ensemble: 1`, `auto` and 8, each
in an empty cache: all are run once, then all again, `--repeat` times. Prints the medians of wall time, CPU time and
peak memory, and their ratios to single runs. Data of `--synthetic N` are well separated: their runs agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contestants import Task, command
from benchmarks.measure import Measured
from benchmarks.synthetic import write_synthetic

WAYS: tuple[int | str, ...] = (1, "auto", 8)


def main() -> None:
    """Measure each data set, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", metavar="DATA", help="h5ad or zarr files with X_pca")
    parser.add_argument("--synthetic", type=int, nargs="*", default=[], metavar="N", help="planted sets of N cells")
    parser.add_argument("--repeat", type=int, default=1, help="how often; the median counts")
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        made = [str(write_synthetic(Path(folder) / f"synthetic_{n}.h5ad", n)) for n in options.synthetic]
        for path in [*options.data, *made]:
            rows += _measured(path, options.repeat, options.depth, f"{folder}/home")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


def _measured(path: str, repeat: int, depth: int, home: str) -> list[dict[str, Any]]:
    runs: dict[int | str, list[Measured]] = {way: [] for way in WAYS}
    modularity: dict[int | str, list[float]] = {}
    for _ in range(repeat):
        for way in WAYS:
            with tempfile.TemporaryDirectory() as place:
                task = Task(path, depth=depth, more={"ensemble": way})
                run, document = command(task.config(Path(place)), None, home)
            runs[way].append(run)
            modularity[way] = list(document["datasets"]["data/file"]["modularity"].values())
    rows = []
    for way, measured in runs.items():
        of_each = {name: [getattr(run, name) for run in measured] for name in ("wall", "cpu", "peak_mb")}
        middle = {name: statistics.median(values) for name, values in of_each.items()}
        single = rows[0] if rows else middle
        ratios = {f"{name}_ratio": round(value / single[name], 3) for name, value in middle.items()}
        rows.append({"data": Path(path).stem, "ensemble": way, **middle, **ratios, "walls": of_each["wall"]})
        numbers = [(middle[name], ratios[f"{name}_ratio"]) for name in middle]
        told = "  ".join(
            f"{value:8.1f} {unit} {ratio:5.2f}"
            for (value, ratio), unit in zip(numbers, ("s", "CPU s", "MB"), strict=True)
        )
        reached = " ".join(f"{value:.4f}" for value in modularity[way])
        print(f"{Path(path).stem:<24}{way!s:<6}{told}  modularity {reached}", flush=True)
    return rows


if __name__ == "__main__":
    main()

"""`python -m benchmarks.in_memory H5AD --json FILE`: `cs.tl.cluster` on an AnnData in memory beside `cellstrata run`.

Both do the same task by the same settings, in turn, each in a fresh process with a cache of its own: the call, the
command with a running server, and the command with its own. Wall time of the call is that of the call alone; the
AnnData is there already, as in a notebook. Memory is that of all processes at its highest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.contestants import Task, command
from benchmarks.measure import Measured, measure
from benchmarks.rows import write_row
from benchmarks.server import running_server

CALL = "cs.tl.cluster"


def main() -> None:
    """Measure in turn, print a table, and write the rows."""
    parser = argparse.ArgumentParser("python -m benchmarks.in_memory", description=__doc__)
    parser.add_argument("data", help="an h5ad with an embedding")
    parser.add_argument("--rep", default="X_pca", help="the embedding (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="times, of which the median is shown (default: 3)")
    parser.add_argument("--json", metavar="FILE", help="write the measurements here")
    parser.add_argument("--call", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    task = Task(options.data, options.rep, ensemble="auto")
    if options.call:
        print(json.dumps(called(task, Path(options.call))))
        return
    found = row(task, options.repeat)
    print(pd.Series(found).to_string())
    if options.json:
        write_row(Path(options.json), "in_memory", found, ("data",))


def row(task: Task, repeat: int) -> dict[str, Any]:
    """Return the medians of both, and their ratio."""
    calls: list[dict[str, Any]] = []
    peaks: list[float] = []
    runs: dict[str, list[Measured]] = {"server running": [], "own server": []}
    same: list[bool] = []
    with tempfile.TemporaryDirectory() as home, running_server(home) as server:
        for _ in range(repeat):
            with tempfile.TemporaryDirectory() as folder:
                arguments = [task.path, "--rep", task.use_rep, "--call", folder]
                run = measure([sys.executable, "-m", "benchmarks.in_memory", *arguments], dict(os.environ))
                calls.append(json.loads(run.stdout.splitlines()[-1]))
                peaks.append(run.peak_mb)
                for what, url in (("server running", server), ("own server", None)):
                    with tempfile.TemporaryDirectory() as own:
                        measured, document = command(task.config(Path(own)), url, home)
                        runs[what].append(measured)
                        same.append(equal(document["datasets"]["data/file"]["labels"], f"{folder}/labels.parquet"))
    wall = {what: statistics.median(one.wall for one in of) for what, of in runs.items()}
    seconds = statistics.median(one["seconds"] for one in calls)
    return {
        "data": task.name,
        "cells": calls[0]["cells"],
        f"{CALL}, s": seconds,
        "second call, s": statistics.median(one["second"] for one in calls),
        **{f"run, {what}, s": value for what, value in wall.items()},
        "of run, server running": seconds / wall["server running"],
        "of run, own server": seconds / wall["own server"],
        "peak, MiB": statistics.median(peaks),
        "before the call, MiB": statistics.median(one["before_mb"] for one in calls),
        "peak of run, MiB": statistics.median(one.peak_mb for one in runs["server running"]),
        "same labels": all(same),
    }


def called(task: Task, folder: Path) -> dict[str, Any]:
    """Cluster in this process, twice, and tell how long it took."""
    import anndata
    import psutil

    import cellstrata as cs

    adata = anndata.read_h5ad(task.path)
    before = psutil.Process().memory_full_info().uss / 2**20
    how: dict[str, Any] = {
        "hierarchy": task.depth, "ensemble": task.ensemble, "use_rep": task.use_rep, "progress": False,
        "n_neighbors": task.n_neighbors, "recompute_neighbors": True, "cache": folder / "cache",
    }  # fmt: skip
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        cs.tl.cluster(adata, list(task.resolutions), **how)
        seconds.append(time.perf_counter() - started)
    adata.obs[[name for name in adata.obs if name.startswith("leiden_")]].to_parquet(folder / "labels.parquet")
    return {"seconds": seconds[0], "second": seconds[1], "cells": adata.n_obs, "before_mb": before}


def equal(labels: str, others: str) -> bool:
    """Tell whether two tables have the same labels in all columns that the second one has."""
    one, other = pd.read_parquet(labels), pd.read_parquet(others)
    names = [name for name in other if name in one]
    return bool(names) and all(np.array_equal(one[name].astype(str), other[name].astype(str)) for name in names)


if __name__ == "__main__":
    main()

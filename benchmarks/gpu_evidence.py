"""`python -m benchmarks.gpu_evidence`: run what needs a GPU on one, and write what came of it.

Only a machine with a GPU can: elsewhere it says why not, and writes nothing. See docs/verification.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from platform import python_version
from typing import Any
from xml.etree import ElementTree

import numpy as np

from benchmarks.planted import planted_graph
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import Engine, PartitionSpec, load_engine
from cellstrata.tasks.kernels.gpu import GpuStatus, gpu_status
from cellstrata.tasks.kernels.guard import bad_partition
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index
from cellstrata.tasks.results.provenance import versions

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "verification"
SIZES = (2_000, 20_000, 200_000, 1_000_000)
RESOLUTIONS = (0.2, 0.5, 1.0, 2.0)
REPEATS = 5


def compared(n_vertices: int, gpu: Engine, cpu: Engine, resolutions: tuple[float, ...], repeats: int) -> dict[str, Any]:
    """Partition a planted graph by both engines at some resolutions.

    Returns seconds of preparing and, by resolution, of each engine: seconds, modularity (at resolution
    1), number of clusters, ARI to the planted blocks, and ARI between the two; of the GPU also the least
    ARI between `repeats` runs, and what the guard has to say (None for nothing).
    """
    graph, truth = planted_graph(n_vertices, blocks=max(4, int(n_vertices**0.5) // 8))
    prepared, found = {}, {"vertices": n_vertices, "edges": len(graph.edges), "prepare_seconds": {}, "resolutions": {}}
    for engine in (gpu, cpu):
        started = time.perf_counter()
        prepared[engine.name] = engine.prepare(graph)
        found["prepare_seconds"][engine.name] = round(time.perf_counter() - started, 3)
    for resolution in resolutions:
        spec = PartitionSpec("leiden", resolution)
        entry: dict[str, Any] = {}
        labels: dict[str, Any] = {}
        for engine in (gpu, cpu):
            started = time.perf_counter()
            result = partition(graph, spec, engine, lambda: prepared[engine.name])  # noqa: B023
            labels[engine.name] = result.labels
            entry[engine.name] = {
                "seconds": round(time.perf_counter() - started, 3),
                "modularity": round(result.modularity, 6),
                "clusters": len(result.sizes),
                "ari_to_planted": round(adjusted_rand_index(result.labels, truth), 4),
            }
            if engine is gpu:
                again = [partition(graph, spec, gpu).labels for _ in range(repeats - 1)]
                entry["least_ari_of_repeats"] = round(
                    min([1.0, *(adjusted_rand_index(result.labels, each) for each in again)]), 6
                )
                entry["guard"] = bad_partition(graph, result.labels, result.sizes, spec, 50)
        entry["ari_between"] = round(adjusted_rand_index(labels[gpu.name], labels[cpu.name]), 4)
        found["resolutions"][str(resolution)] = entry
    return found


def neighbors_compared(n_cells: int, method: str) -> dict[str, Any]:
    """Find neighbours of clustered cells by both; returns seconds, recall (all cells) and the edges of the graphs."""
    rng = np.random.default_rng(0)
    cells = (rng.normal(size=(50, 30))[rng.integers(0, 50, n_cells)] * 3 + rng.normal(size=(n_cells, 30))).astype("f4")
    started = time.perf_counter()
    gpu = neighbors_by(method, cells, 15, "euclidean", os.cpu_count() or 1)
    between = time.perf_counter()
    cpu = nearest_neighbors(cells, 15, threads=os.cpu_count() or 1)
    hits = [len(np.intersect1d(a[1:], b[1:])) for a, b in zip(gpu.indices, cpu.indices, strict=True)]
    return {
        "cells": n_cells,
        "method": gpu.method,
        "seconds": {"gpu": round(between - started, 3), "cpu": round(time.perf_counter() - between, 3)},
        "shared_with_cpu": round(sum(hits) / (14 * n_cells), 5),
        "edges": {"gpu": len(connectivities(gpu).edges), "cpu": len(connectivities(cpu).edges)},
    }


def tested() -> dict[str, int]:
    """Run the tests that need a GPU, none of which may be skipped; returns their counts."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", f"--junitxml={report}"]
        subprocess.run(command, cwd=FOLDER.parents[1], env=os.environ | {"REQUIRE_GPU": "1"}, check=False)
        return counts(ElementTree.parse(report).getroot())


def counts(report: ElementTree.Element) -> dict[str, int]:
    """Sum up a JUnit report: `passed`, `failed` (errors too) and `skipped`."""
    suites = list(report.iter("testsuite"))
    total, failed, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return {"passed": total - failed - errors - skipped, "failed": failed + errors, "skipped": skipped}


def evidence(status: GpuStatus, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return everything that the file says."""
    import cupy

    gpu, cpu = load_engine("rapids"), load_engine("igraph")
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "status": asdict(status),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "python": python_version(),
        "versions": versions(),
        "tests": tested(),
        "leiden": [compared(size, gpu, cpu, RESOLUTIONS, REPEATS) for size in sizes],
        "neighbors": [neighbors_compared(size, status.knn) for size in sizes if status.knn and size <= 200_000],
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the file; returns the exit code, 1 where there is no GPU or a test failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="vertices of the largest graph")
    options = parser.parse_args(arguments)
    status = gpu_status()
    if not status.available:
        print(f"no GPU, so no evidence: {status.reason}", file=sys.stderr)
        return 1
    found = evidence(status, tuple(size for size in SIZES if size <= options.largest))
    slug = re.sub(r"[^a-z0-9]+", "-", f"{status.backend} {status.device}".lower()).strip("-")
    path = options.out / f"gpu-{slug}-{found['written'][:10]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(path)
    return 0 if found["tests"]["passed"] and not found["tests"]["failed"] + found["tests"]["skipped"] else 1


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=FOLDER.parents[1], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

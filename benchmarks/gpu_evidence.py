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
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from platform import python_version
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from benchmarks.agreement import agreement
from benchmarks.contestants import Task, command
from benchmarks.planted import planted_graph
from benchmarks.server import running_server
from benchmarks.synthetic import write_synthetic
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import STAND_IN, Engine, PartitionSpec, load_engine
from cellstrata.tasks.kernels.ensemble import consensus, run_spec
from cellstrata.tasks.kernels.gpu import GpuStatus, gpu_status
from cellstrata.tasks.kernels.guard import bad_partition
from cellstrata.tasks.kernels.knn import Neighbors, nearest_neighbors
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index
from cellstrata.tasks.results.provenance import versions

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "verification"
SIZES = (2_000, 20_000, 200_000, 1_000_000)
RESOLUTIONS = (0.2, 0.5, 1.0, 2.0)
REPEATS = 5
RUNS = 8  # of an ensemble
SAMPLED = 200  # cells whose true neighbours are looked for


def compared(n_vertices: int, gpu: Engine, cpu: Engine, resolutions: tuple[float, ...], repeats: int) -> dict[str, Any]:
    """Partition a planted graph by both engines at some resolutions.

    Returns seconds of preparing and, by resolution, of each engine: seconds, modularity (at resolution
    1), number of clusters, ARI to the planted blocks, and ARI between the two; of the GPU also the least
    ARI between `repeats` runs, and what the guard has to say (None for nothing).
    """
    graph, truth = planted_graph(n_vertices, blocks=max(4, int(n_vertices**0.5) // 8))
    prepared: dict[str, Any] = {}
    found: dict[str, Any] = {
        "vertices": n_vertices,
        "edges": len(graph.edges),
        "prepare_seconds": {},
        "resolutions": {},
    }
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
    """Find neighbours of clustered cells by both; returns seconds, the edges of the graphs, and recalls.

    A recall is the share of the true neighbours of some cells, compared with all cells in float64, that was found.
    """
    rng = np.random.default_rng(0)
    cells = (rng.normal(size=(50, 30))[rng.integers(0, 50, n_cells)] * 3 + rng.normal(size=(n_cells, 30))).astype("f4")
    started = time.perf_counter()
    gpu = neighbors_by(method, cells, 15, "euclidean", os.cpu_count() or 1)
    between = time.perf_counter()
    cpu = nearest_neighbors(cells, 15, threads=os.cpu_count() or 1)
    done = time.perf_counter()
    hits = [len(np.intersect1d(a[1:], b[1:])) for a, b in zip(gpu.indices, cpu.indices, strict=True)]
    return {
        "cells": n_cells,
        "method": {"gpu": gpu.method, "cpu": cpu.method},
        "seconds": {"gpu": round(between - started, 3), "cpu": round(done - between, 3)},
        "recall": {"gpu": _recall(cells, gpu), "cpu": _recall(cells, cpu)},
        "shared_with_cpu": round(sum(hits) / (14 * n_cells), 5),
        "edges": {"gpu": len(connectivities(gpu).edges), "cpu": len(connectivities(cpu).edges)},
    }


def _recall(cells: npt.NDArray[np.float32], found: Neighbors) -> float:
    """Return the share of true neighbours found, of some cells, the cell itself left out."""
    hits, k = 0.0, found.indices.shape[1]
    chosen = np.random.default_rng(1).choice(len(cells), min(SAMPLED, len(cells)), replace=False)
    for cell in chosen:
        distances = np.square(cells.astype(np.float64) - cells[cell]).sum(1)
        distances[cell] = -1
        hits += len(np.intersect1d(np.argpartition(distances, k - 1)[:k], found.indices[cell])) - 1
    return round(hits / ((k - 1) * len(chosen)), 5)


def ensembles_compared(n_vertices: int, gpu: Engine, cpu: Engine) -> dict[str, Any]:
    """Join runs of either engine with seeds of their own over a planted graph whose blocks are hard to tell.

    Returns of each engine: seconds, the mean ARI between its runs, the best run's quality and that of the joined
    partition, each with its ARI to the planted blocks.
    """
    graph, truth = planted_graph(n_vertices, blocks=max(4, int(n_vertices**0.5) // 4), inside=0.45)
    spec = PartitionSpec("leiden", 1.0, ensemble=RUNS)
    found: dict[str, Any] = {"vertices": n_vertices, "runs": RUNS}
    for engine in (gpu, cpu):
        started = time.perf_counter()
        prepared = engine.prepare(graph)
        singles = [partition(graph, run_spec(spec, at), engine, lambda: prepared) for at in range(RUNS)]  # noqa: B023
        seconds = time.perf_counter() - started
        joined = consensus(graph, spec, [each.labels for each in singles])
        best = max(singles, key=lambda each: each.quality)
        found[engine.name] = {
            "seconds": {"runs": round(seconds, 3), "all": round(time.perf_counter() - started, 3)},
            "agreement": round(joined.agreement, 6),
            "quality": {"best_run": round(best.quality, 6), "joined": round(joined.quality, 6)},
            "ari_to_planted": {
                "best_run": round(adjusted_rand_index(best.labels, truth), 4),
                "joined": round(adjusted_rand_index(joined.labels, truth), 4),
            },
        }
    return found


def runs_compared(n_cells: int) -> dict[str, Any]:
    """Run the command on a planted atlas, on CPUs and with `runner: gpu`; returns what both took and found."""
    found: dict[str, Any] = {"cells": n_cells}
    with tempfile.TemporaryDirectory() as folder, running_server(f"{folder}/server") as server:
        data = write_synthetic(Path(folder) / "cells.h5ad", n_cells)
        for what, more in (("cpu", {}), ("gpu", {"use_gpu": "required", "n_cell_cpu": 20_000})):
            place = Path(folder) / what
            place.mkdir()
            config = Task(str(data), depth=2, more=more, labels=("level1", "level2")).config(place)
            if what == "gpu":
                document = json.loads(config.read_text()) | {"runner": "gpu"}
                config.write_text(json.dumps(document))
            run, document = command(config, server, f"{folder}/home")
            report = document["datasets"]["data/file"]
            found[what] = {
                "wall": round(run.wall, 1), "cpu": round(run.cpu, 1), "peak_mb": round(run.peak_mb),
                "splits": report["splits"], "modularity": report.get("modularity", {}),
                "agreement": agreement(report["labels"], str(data), ("level1", "level2")),
            }  # fmt: skip
    return found


def tested() -> dict[str, Any]:
    """Run the tests that need a GPU; returns their counts, and for what reasons some were skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", f"--junitxml={report}"]
        subprocess.run(command, cwd=FOLDER.parents[1], env=os.environ | {"REQUIRE_GPU": "1"}, check=False)
        root = ElementTree.parse(report).getroot()
        return counts(root) | {"reasons": sorted({each.get("message", "") for each in root.iter("skipped")})}


def counts(report: ElementTree.Element) -> dict[str, int]:
    """Sum up a JUnit report: `passed`, `failed` (errors too) and `skipped`."""
    suites = list(report.iter("testsuite"))
    total, failed, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return {"passed": total - failed - errors - skipped, "failed": failed + errors, "skipped": skipped}


def evidence(status: GpuStatus, sizes: tuple[int, ...], cells: int, commit: str) -> Iterator[dict[str, Any]]:
    """Yield what the file says so far, after each part: the smaller graphs first, the largest last."""
    import cupy

    gpu, cpu = load_engine("rapids"), load_engine(STAND_IN)
    found: dict[str, Any] = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or _git("rev-parse", "HEAD"),
        "changed_since": not commit and bool(_git("status", "--porcelain", "--untracked-files=no")),
        "status": asdict(status),
        "cores": os.cpu_count(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "python": python_version(),
        "versions": versions(),
    }
    found["tests"] = tested()
    yield found
    for part in ("leiden", "neighbors", "ensembles", "runs"):
        found[part] = []
    for size in sizes:
        resolutions = RESOLUTIONS if size < SIZES[-1] else (1.0,)  # the CPU's take minutes there
        found["leiden"].append(compared(size, gpu, cpu, resolutions, REPEATS))
        yield found
        if status.knn:
            found["neighbors"].append(neighbors_compared(size, status.knn))
            yield found
        if 20_000 <= size <= 200_000:
            found["ensembles"].append(ensembles_compared(size, gpu, cpu))
            yield found
        if size == cells:
            found["runs"].append(runs_compared(size))
            yield found


def main(arguments: list[str] | None = None) -> int:
    """Write the file; returns the exit code, 1 where there is no GPU or a test failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="vertices of the largest graph")
    parser.add_argument(
        "--cells", type=int, default=200_000, choices=SIZES, help="of the atlas that the command runs on"
    )
    parser.add_argument("--commit", default="", help="what is checked out, unchanged, where there is no .git to say it")
    options = parser.parse_args(arguments)
    status = gpu_status()
    if not status.available:
        print(f"no GPU, so no evidence: {status.reason}", file=sys.stderr)
        return 1
    slug = re.sub(r"[^a-z0-9]+", "-", f"{status.backend} {status.device}".lower()).strip("-")
    path = options.out / f"gpu-{slug}-{datetime.now(UTC):%Y-%m-%d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    tests: dict[str, Any] = {}
    sizes = tuple(size for size in SIZES if size <= options.largest)
    for found in evidence(status, sizes, options.cells, options.commit):
        path.write_text(json.dumps(found, indent=1) + "\n")  # a machine that is taken away leaves what was measured
        tests = found["tests"]
        print({part: value[-1:] if isinstance(value, list) else value for part, value in found.items()}, flush=True)
    print(path)
    return 0 if tests["passed"] and not tests["failed"] else 1


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=FOLDER.parents[1], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

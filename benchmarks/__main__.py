"""`python -m benchmarks [DATA.h5ad …]`: a cold and a warm run against the bare loop, in turn, as ratios.

Without data, the 700 cells of the demo. `--json FILE` writes the table with versions and machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import measure


def main() -> None:
    """Measure each data set and print a table."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("data", nargs="*", help="h5ad or zarr files with an embedding")
    parser.add_argument("--use_rep", default="X_pca", help="the embedding (default: %(default)s)")
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--depth", type=int, default=3, help="levels (default: %(default)s)")
    parser.add_argument("--json", help="write the measurements here")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in options.data or [_demo_data(folder)]:
            rows += _measure_file(path, options, Path(folder))
    print(
        f"{'data':24} {'what':12} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'of bare':>8}  splits computed, from cache"
    )
    for row in rows:
        ratio = f"{row['of_bare']:.2f}" if row["of_bare"] else ""
        print(
            f"{row['data'][:24]:24} {row['what']:12} {row['wall']:8.1f} {row['cpu']:8.1f} {row['peak_mb']:8.0f} "
            f"{ratio:>8}  {row['splits']}"
        )
    if options.json:
        from tasks.provenance import versions

        machine = {"platform": platform.platform(), "cpus": len(os.sched_getaffinity(0))}
        document = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine,
                    "versions": versions(), "rows": rows}  # fmt: skip
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")


def _measure_file(path: str, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    name, place = Path(path).stem, folder / f"{Path(path).stem}-{time.monotonic_ns()}"
    place.mkdir()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    bare = measure(
        [sys.executable, "-c", _BARE, path, options.use_rep, json.dumps(options.resolutions), str(options.depth)],
        environment,
    )
    settings = {
        "algorithm": "leiden",
        "resolutions": options.resolutions,
        "hierarchy": options.depth,
        "recompute_neighbors": True,
        "neighbors": {"use_rep": options.use_rep},
    }
    config = {
        "output_dir": str(place / "out"),
        "cache": str(place / "cache"),
        "DATASETS": {name: {"input": {"clustering": {"data": path}}, "clustering": settings}},
    }
    (place / "config.yaml").write_text(json.dumps(config))
    rows = [_row(name, "bare loop", bare, 0, json.loads(bare.stdout))]
    for what in ("cold", "warm"):
        run = measure(
            [sys.executable, "-m", "flows.command", "run", str(place / "config.yaml"), "--json"], dict(os.environ)
        )
        splits = json.loads(run.stdout.splitlines()[-1])["datasets"][f"{name}/data"]["splits"]
        rows.append(_row(name, what, run, run.wall / bare.wall, splits))
    return rows


def _row(name: str, what: str, measured: Any, of_bare: float, splits: dict[str, Any]) -> dict[str, Any]:
    facts = {key: round(getattr(measured, key), 2) for key in ("wall", "cpu", "peak_mb")}
    shown = (
        f"{splits['executed']}, {splits['cached']}"
        if "executed" in splits
        else str(int(sum(value for key, value in splits.items() if key.startswith("splits"))))
    )
    return {"data": name, "what": what, **facts, "of_bare": round(of_bare, 3), "splits": shown}


def _demo_data(folder: str) -> str:
    from flows.demo import DATA, write_demo

    write_demo(folder)
    return str(Path(folder) / DATA)


_BARE = (
    "import json, sys\n"
    "from benchmarks.bare_loop import bare_loop\n"
    "print(json.dumps(bare_loop(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]))))\n"
)


if __name__ == "__main__":
    main()

"""`python -m benchmarks.buckets DATA …`: a run whose input, cache and results lie in S3 against a local one.

In turn and `--repeat` times each, cold and warm, with one Prefect server running; moto speaks S3 on loopback,
on the same cores. The median counts. Labels must be equal; exits with 1 where they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.contestants import Task, command
from benchmarks.server import running_server
from tests.s3_server import SETTINGS, moto_server

BUCKET = "lab"


def main() -> None:
    """Measure each data set, print a row for each kind of run, and write what is asked for."""
    parser = argparse.ArgumentParser("python -m benchmarks.buckets", description=__doc__)
    parser.add_argument("data", nargs="+", help="h5ad or zarr files with `X_pca`")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", help="write the measurements here")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, running_server(f"{folder}/server") as server, moto_server() as s3:
        os.environ.update(SETTINGS | {"AWS_ENDPOINT_URL": s3})
        _bucket().mkdir(BUCKET)
        print(
            f"{'data':22} {'what':5} {'local s':>8} {'S3 s':>8} {'ratio':>6} {'CPU':>6} {'CPU':>6}  labels", flush=True
        )
        for path in options.data:
            rows += _data_set(Path(folder), path, server, options.repeat)
    if options.json:
        Path(options.json).write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    sys.exit(not all(row["equal"] for row in rows))


def _data_set(folder: Path, path: str, server: str, repeat: int) -> list[dict[str, Any]]:
    _bucket().put(path, f"{BUCKET}/in/{Path(path).name}")
    walls: dict[tuple[str, str], list[float]] = {}
    cpus: dict[tuple[str, str], list[float]] = {}
    labels: dict[tuple[str, str], pd.DataFrame] = {}
    for number in range(repeat):
        for where, data in (("local", path), ("s3", f"s3://{BUCKET}/in/{Path(path).name}")):
            place = folder / f"{Path(path).stem}-{number}-{where}"
            place.mkdir()
            config = Task(data).config(place)
            if where == "s3":
                text = json.loads(config.read_text())
                text |= {name: f"s3://{BUCKET}/{place.name}/{name}" for name in ("output_dir", "cache")}
                config.write_text(json.dumps(text))
            for what in ("cold", "warm"):
                run, document = command(config, server, f"{folder}/home")
                walls.setdefault((what, where), []).append(run.wall)
                cpus.setdefault((what, where), []).append(run.cpu)
                labels[what, where] = pd.read_parquet(document["datasets"]["data/file"]["labels"]).astype(str)
    rows = []
    for what in ("cold", "warm"):
        local, remote = (statistics.median(walls[what, where]) for where in ("local", "s3"))
        row = {
            "data": Path(path).stem, "what": what, "local": round(local, 2), "s3": round(remote, 2),
            "ratio": round(remote / local, 3),
            "walls": {where: [round(wall, 2) for wall in walls[what, where]] for where in ("local", "s3")},
            "cpu": {where: round(statistics.median(cpus[what, where]), 2) for where in ("local", "s3")},
            "equal": labels[what, "local"].equals(labels[what, "s3"]),
        }  # fmt: skip
        rows.append(row)
        numbers = (local, remote, remote / local, *row["cpu"].values())
        judged = "equal" if row["equal"] else "WRONG"
        print(f"{row['data'][:22]:22} {what:5}", *(f"{n:8.2f}" for n in numbers), "", judged, flush=True)
    return rows


def _bucket() -> Any:
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False)


if __name__ == "__main__":
    main()

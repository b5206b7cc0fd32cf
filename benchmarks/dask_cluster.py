"""`python -m benchmarks.dask_cluster [DATA …]`: the runner `dask` on a cluster that is there before the run.

On loopback: a Dask scheduler, two workers, and the cache in a bucket (moto speaks S3). Each data set, by
default the 700 cells of the demo, is clustered by `processes` with a local cache, by `dask`, and by `dask`
again while one of the workers is killed in the middle. Labels must be equal; exits with 1 where they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.server import running_server
from cellstrata.flows.commands.demo import DATA, write_demo
from tests.flows.dask_cluster import Cluster, cluster_at
from tests.s3_server import SETTINGS, moto_server

RUN = [sys.executable, "-m", "cellstrata.flows.commands.command", "run"]
BUCKET = "lab"


def main() -> None:
    """Run each data set three times and print a row each."""
    parser = argparse.ArgumentParser("python -m benchmarks.dask_cluster", description=__doc__)
    parser.add_argument("data", nargs="*", help="h5ad or zarr files with `X_pca`; default: those of the demo")
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--depth", type=int, default=3)
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, running_server(f"{folder}/server") as url, moto_server() as s3:
        os.environ.update(SETTINGS | {"AWS_ENDPOINT_URL": s3, "PREFECT_API_URL": url})
        place = Path(folder)
        print(f"{'data':<24} {'cells':>8} {'runner':<24} {'seconds':>8} {'splits':>7} {'killed at':>9} {'labels':>7}")
        for number, path in enumerate(options.data or [_demo(place)]):
            wrong += not _data_set(place / str(number), path, options)
    sys.exit(wrong > 0)


def _data_set(place: Path, data: str, options: argparse.Namespace) -> bool:
    place.mkdir()
    config = _config(place, data, options)
    report, seconds = _run(config, place / "processes", "--cache", str(place / "cache"), "--workers", "2")
    labels = pd.read_parquet(report["labels"]).astype(str)
    name = Path(data).stem
    whole = report["splits"]["executed"]
    print(f"{name:<24} {len(labels):8,} {'processes':<24} {seconds:8.1f} {whole:7}", flush=True)
    good = True
    for kill in (False, True):
        with cluster_at(place / f"site-{kill}") as cluster:
            for _ in range(2):
                cluster.start_worker()
            bucket = f"s3://{BUCKET}-{place.name}-{str(kill).lower()}"
            _make(bucket)
            arguments = ["--runner", "dask", "--dask.address", cluster.address, "--cache", f"{bucket}/cache"]
            with subprocess.Popen(
                [*RUN, config, *arguments, "--output_dir", str(place / str(kill)), "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            ) as process:  # fmt: skip
                started = time.monotonic()
                killed = _kill_one(cluster, bucket, whole // 3, process) if kill else None
                printed, said = process.communicate()
                seconds = time.monotonic() - started
        if process.returncode:
            print(said)
            return False
        report = json.loads(printed.splitlines()[-1])["datasets"]["d/f"]
        equal = pd.read_parquet(report["labels"]).astype(str).equals(labels)
        good &= equal
        what = "dask, one worker killed" if kill else "dask"
        print(
            f"{name:<24} {len(labels):8,} {what:<24} {seconds:8.1f} {report['splits']['executed']:7} "
            f"{'' if killed is None else killed:>9} {'equal' if equal else 'WRONG':>7}",
            flush=True,
        )
    return good


def _run(config: str, output: Path, *arguments: str) -> tuple[dict[str, Any], float]:
    started = time.monotonic()
    done = subprocess.run(
        [*RUN, config, *arguments, "--output_dir", str(output), "--json"], capture_output=True, text=True, check=True
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["datasets"]["d/f"]
    return report, time.monotonic() - started


def _kill_one(cluster: Cluster, bucket: str, splits: int, process: subprocess.Popen[str]) -> int:
    """Kill the first worker when so many splits are done; returns how many were."""
    done = 0
    while process.poll() is None and (done := _splits(bucket)) < splits:
        time.sleep(0.1)
    cluster.kill(cluster.workers[0])
    return done


def _splits(bucket: str) -> int:
    """How many records there are, those of graphs and bundles among them."""
    return sum("/records/" in path for path in _files().find(bucket))


def _make(bucket: str) -> None:
    _files().mkdir(bucket)


def _files() -> Any:
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False)


def _config(place: Path, data: str, options: argparse.Namespace) -> str:
    clustering = {
        "algorithm": "leiden",
        "resolutions": options.resolutions,
        "hierarchy": options.depth,
        "recompute_neighbors": True,
    }
    datasets = {"d": {"input": {"clustering": {"f": os.path.abspath(data)}}, "clustering": clustering}}
    path = place / "config.yaml"
    path.write_text(json.dumps({"output_dir": "out", "DATASETS": datasets}))
    return str(path)


def _demo(place: Path) -> str:
    write_demo(str(place))
    return str(place / DATA)


if __name__ == "__main__":
    main()

"""`python -m benchmarks.kills DATA.h5ad`: kill -9 a run, a worker or its server at random moments, resume, compare.

Most of a short run is spent on starting and publishing, so every other moment is one within the
splits: when a random number of them is done. Each time the labels must equal those of a run that
nobody disturbed, and both runs together compute at most its number of splits plus the number of workers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

RUN = [sys.executable, "-m", "cellstrata.flows.commands.command", "run"]


def main() -> None:
    """Run once undisturbed, then kill and resume as often as asked, and print a row each."""
    parser = argparse.ArgumentParser("python -m benchmarks.kills", description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--victim", choices=["run", "worker", "server"], default="run")
    options = parser.parse_args()
    rng, wrong = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        environment = os.environ | {"PREFECT_HOME": f"{folder}/prefect"}
        config = _config(place, options.data)
        arguments = [*RUN, str(config), "--workers", str(options.workers), "--grain", "1000", "--json"]
        started = time.monotonic()
        whole = _report(subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout)
        lasted = time.monotonic() - started
        labels = pd.read_parquet(whole["labels"]).astype(str)
        splits = whole["splits"]["executed"]
        print(f"undisturbed: {lasted:.1f} s, {splits} splits")
        print(f"{'killed':>7} {'after':>12} {'kept':>6} {'resumed':>8} {'labels':>7}")
        for number in range(options.times):
            shutil.rmtree(place / "cache", ignore_errors=True)
            shutil.rmtree(place / "out", ignore_errors=True)
            with subprocess.Popen(
                arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            ) as process:
                if number % 2:
                    seconds = rng.uniform(0.2, 0.95) * lasted
                    after = f"{seconds:.1f} s"
                    time.sleep(seconds)
                else:
                    done = rng.randrange(splits)
                    after = f"{done} splits"
                    _wait_for(place / "cache", done, process)
                _kill(process, options.victim)
            kept = _splits(place / "cache")
            again = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
            report = _report(again.stdout)
            equal = pd.read_parquet(report["labels"]).astype(str).equals(labels)
            few = kept + report["splits"]["executed"] <= splits + options.workers
            wrong += not (equal and few)
            print(
                f"{options.victim:>7} {after:>12} {kept:6} {report['splits']['executed']:8} "
                f"{'equal' if equal else 'WRONG':>7}{'' if few else '  too many splits'}",
                flush=True,
            )
    sys.exit(wrong > 0)


def _config(place: Path, data: str) -> Path:
    clustering = {"algorithm": "leiden", "resolutions": [0.2, 0.5, 1.0], "hierarchy": 3, "recompute_neighbors": True}
    document = {
        "output_dir": str(place / "out"),
        "cache": str(place / "cache"),
        "DATASETS": {"d": {"input": {"clustering": {"f": os.path.abspath(data)}}, "clustering": clustering}},
    }
    path = place / "config.yaml"
    path.write_text(json.dumps(document))
    return path


def _report(printed: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(printed.splitlines()[-1])["datasets"]["d/f"]
    return report


def _wait_for(cache: Path, splits: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and _splits(cache) < splits:
        time.sleep(0.02)


def _kill(process: subprocess.Popen[bytes], victim: str) -> None:
    """Kill the run, or one of its processes, whereupon the run ends by itself, well or not."""
    if victim == "run":
        process.send_signal(signal.SIGKILL)
        return
    word = {"worker": "spawn_main", "server": "embedded_server"}[victim]
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children():
            if word in " ".join(child.cmdline()):
                child.kill()
                break
    process.wait(timeout=300)


def _splits(cache: Path) -> int:
    return sum('"kind":"split"' in file.read_text() for file in cache.glob("v1/records/*/*.json"))


if __name__ == "__main__":
    main()

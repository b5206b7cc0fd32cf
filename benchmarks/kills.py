"""`python -m benchmarks.kills DATA.h5ad`: kill -9 a run at random moments, resume it, compare.

Each time: the labels must equal those of a run that nobody disturbed, and both runs together compute
at most its number of splits plus the number of workers.
"""

from __future__ import annotations

import argparse
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

RUN = [sys.executable, "-m", "flows.command", "run"]


def main() -> None:
    """Run once undisturbed, then kill and resume as often as asked, and print a row each."""
    parser = argparse.ArgumentParser("python -m benchmarks.kills", description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
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
        print(f"undisturbed: {lasted:.1f} s, {whole['splits']['executed']} splits")
        print(f"{'killed after':>13} {'kept':>6} {'resumed':>8} {'labels':>7}")
        for _ in range(options.times):
            shutil.rmtree(place / "cache")
            shutil.rmtree(place / "out")
            moment = rng.uniform(0.2, 0.95) * lasted
            with subprocess.Popen(
                arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            ) as process:
                time.sleep(moment)
                process.send_signal(signal.SIGKILL)
            kept = _splits(place / "cache")
            done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
            report = _report(done.stdout)
            equal = pd.read_parquet(report["labels"]).astype(str).equals(labels)
            few = kept + report["splits"]["executed"] <= whole["splits"]["executed"] + options.workers
            wrong += not (equal and few)
            print(
                f"{moment:11.1f} s {kept:6} {report['splits']['executed']:8} {'equal' if equal else 'WRONG':>7}"
                f"{'' if few else '  too many splits'}"
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


def _splits(cache: Path) -> int:
    return sum('"kind":"split"' in file.read_text() for file in cache.glob("v1/records/*/*.json"))


if __name__ == "__main__":
    main()

"""`python -m benchmarks.soak --hours H --json FILE`: random runs over shared caches, disturbed at random.

Each round draws what a run is asked for and what happens to it: its process, a worker or its server is killed, its
files may not grow, its bucket fails, another run or another build (`--other CHECKOUT`) works on the same cache, claims
get other times as if a clock had jumped, or the cache is pruned meanwhile. Then the same is run undisturbed. It must
end well, with the labels of a run that had a cache of its own and was left alone; the result must open, the input be
what it was, and nothing be left: no process, no temporary file. At the end the caches are verified.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.soak_runs import (
    MARK,
    RUN,
    Asked,
    Running,
    at_random,
    check_result,
    digest_of,
    labels_of,
    left_behind,
)
from benchmarks.synthetic import write_synthetic
from tests.faulty_proxy import FaultyProxy, faulty_proxy
from tests.s3_server import SETTINGS, moto_server

FAULTS = ("slow down", "timeout", "reset", "server error", "refused", "slow first byte")
DASK = "dask-scratch-space"  # which dask keeps, and clears when it is started again
SMALL = 20_000  # bytes that a file may have on a full disk
Disturb = Callable[["Soak", Asked, Path], dict[str, Any]]


def main() -> None:
    """Go on for as long as asked, print a line of each round, and write what was done."""
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=__doc__)
    parser.add_argument("data", nargs="*", help="h5ad files with `X_pca`, beside planted ones")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--other", type=Path, help="a checkout of another build, which works on the same cache")
    parser.add_argument("--json", help="write what was done here, after each round")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, moto_server() as endpoint, faulty_proxy(endpoint) as proxy:
        soak = Soak(Path(folder), proxy, endpoint, options.seed, options.other, [Path(path) for path in options.data])
        until = time.monotonic() + options.hours * 3600
        while time.monotonic() < until:
            soak.round()
            _write(options.json, soak)
        soak.verify()
        _write(options.json, soak)
    print(json.dumps(soak.summary(), indent=1))
    sys.exit(bool(soak.problems))


def _write(path: str | None, soak: Soak) -> None:
    if path:
        Path(path).write_text(json.dumps({**soak.summary(), "rounds": soak.rounds}, indent=1) + "\n")


class Soak:
    """The rounds so far. All runs share a cache on the disk and one in a bucket."""

    def __init__(
        self, folder: Path, proxy: FaultyProxy, endpoint: str, seed: int, other: Path | None, data: list[Path]
    ) -> None:
        import s3fs

        self.folder, self.proxy, self.seed, self.other = folder, proxy, seed, other
        self.rng, self.mark, self.started = random.Random(seed), uuid.uuid4().hex, time.monotonic()
        self.scratch = folder / "tmp"
        self.scratch.mkdir()
        self.environment = os.environ | SETTINGS | {
            "AWS_ENDPOINT_URL": proxy.url, "PREFECT_HOME": f"{folder}/prefect", "TMPDIR": str(self.scratch),
            MARK: self.mark, "DO_NOT_TRACK": "1", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        }  # fmt: skip
        self.environment.pop("PREFECT_API_URL", None)
        os.environ.update(SETTINGS | {"AWS_ENDPOINT_URL": endpoint})  # this process reads past the proxy
        s3fs.S3FileSystem().mkdir("soak")
        made = [write_synthetic(folder / f"planted_{n}.h5ad", n, n_genes=60, seed=n) for n in (700, 2500, 6000)]
        self.data = {path.stem: path.resolve() for path in (*made, *data)}
        self.digests = {name: digest_of(path) for name, path in self.data.items()}
        self.clean: dict[str, pd.DataFrame] = {}
        self.rounds: list[dict[str, Any]] = []
        self.problems: list[str] = []

    def round(self) -> None:
        """Draw, disturb, run again and look."""
        asked = at_random(self.rng, sorted(self.data), ["disk", "disk", "bucket"])
        if self.rounds and self.rng.random() < 0.3:  # the same again, in another way
            before = Asked(
                **{**self.rounds[-1]["asked"], "resolutions": tuple(self.rounds[-1]["asked"]["resolutions"])}
            )
            asked = Asked(**{**vars(before), "runner": asked.runner, "workers": asked.workers, "grain": asked.grain})
        what = self.rng.choice(sorted(name for name in DISTURBANCES if self._can(name, asked)))
        began, number = time.monotonic(), len(self.rounds)
        row: dict[str, Any] = {"number": number, "asked": vars(asked), "disturbance": what}
        problems: list[str] = []
        expected = self._clean(asked)
        config = self._config(
            asked, self._output(asked, self.rng.choice(["one", "two", f"own-{number}"])), self.cache_of(asked)
        )
        row["disturbed"] = DISTURBANCES[what](self, asked, config)
        self.proxy.decide = lambda *_: None
        code, document, said = Running(config, self.environment).wait()
        if code:
            problems.append(f"run again: exit {code}: {said[-2000:]}")
        else:
            labels = labels_of(document)
            if not labels.equals(expected):
                problems.append("WRONG LABELS")
            problems += filter(None, [check_result(document, labels)])
            row["splits"] = document["datasets"]["d/f"]["splits"]
        if digest_of(self.data[asked.data]) != self.digests[asked.data]:
            problems.append("the input has changed")
        problems += self._left()
        row |= {"seconds": round(time.monotonic() - began, 1), "problems": problems}
        self.rounds.append(row)
        self.problems += [f"round {number}: {problem}" for problem in problems]
        print(
            number, what, asked.place, asked.runner, row["seconds"], row["disturbed"], problems or "right", flush=True
        )

    def verify(self) -> None:
        """Read all of both caches again."""
        from cellstrata.tasks.cache.cache import Cache
        from cellstrata.tasks.cache_care.verify import verify
        from cellstrata.tasks.stores.store import Store

        for url in (str(self.folder / "cache"), "s3://soak/cache"):
            report = verify(Cache(Store.at(url)))
            if not report.is_sound:
                self.problems.append(f"the cache {url} is not sound: {report}")

    def summary(self) -> dict[str, Any]:
        """Say what was done."""
        hours = (time.monotonic() - self.started) / 3600
        return {
            "seed": self.seed, "hours": round(hours, 2), "rounds_done": len(self.rounds),
            "disturbances": dict(Counter(row["disturbance"] for row in self.rounds)),
            "exits_when_disturbed": dict(Counter(str(row["disturbed"]["exit"]) for row in self.rounds)),
            "problems": self.problems,
        }  # fmt: skip

    def start(self, config: Path, **more: Any) -> Running:
        """Start a run that will be disturbed."""
        return Running(config, self.environment, **more)

    def some_time(self, asked: Asked) -> float:
        """Draw after how many seconds something happens."""
        return self.rng.uniform(1.0, 14.0 if asked.runner == "dask" else 9.0)

    def cache_of(self, asked: Asked) -> str:
        """Return the cache of a place."""
        return "s3://soak/cache" if asked.place == "bucket" else str(self.folder / "cache")

    def _output(self, asked: Asked, name: str) -> str:
        return f"s3://soak/out-{name}" if asked.place == "bucket" else str(self.folder / f"out-{name}")

    def _can(self, name: str, asked: Asked) -> bool:
        if name == "bucket fails":
            return asked.place == "bucket"
        if name in ("claims get other times", "files may not grow"):
            return asked.place == "disk"
        if name == "a worker is killed":
            return asked.runner != "threads"
        return name != "another build beside it" or (self.other is not None and asked.place == "disk")

    def _clean(self, asked: Asked) -> pd.DataFrame:
        """Return the labels of a run that is left alone, with a cache of its own."""
        if asked.of_labels not in self.clean:
            with tempfile.TemporaryDirectory(dir=self.folder) as own:
                plain = Asked(**{**vars(asked), "runner": "processes", "workers": 2, "grain": None, "place": "disk",
                                 "evidence": False, "markers": False})  # fmt: skip
                config = self._config(plain, f"{own}/out", f"{own}/cache")
                code, document, said = Running(config, self.environment).wait()
                assert code == 0, said
                self.clean[asked.of_labels] = labels_of(document)
        return self.clean[asked.of_labels]

    def _config(self, asked: Asked, output: str, cache: str) -> Path:
        path = self.folder / f"config-{uuid.uuid4().hex[:8]}.json"
        path.write_text(json.dumps(asked.document(str(self.data[asked.data]), output, cache)))
        return path

    def _left(self) -> list[str]:
        """Return what runs left behind, after a moment for processes to end."""
        for _ in range(20):
            if not (alive := left_behind(self.mark)):
                break
            time.sleep(0.5)
        found = [f"a process is left: {command}" for command in alive]
        left = [path for path in self.scratch.iterdir() if path.name != DASK]
        left += [path for path in self.scratch.glob(f"{DASK}/*") if not path.name.endswith(".lock")]
        left += [path for place in self.folder.glob("out-*") for path in place.rglob("*.part")]
        found += [f"a file is left: {path.relative_to(self.folder)}" for path in left]
        return found


def _nothing(soak: Soak, asked: Asked, config: Path) -> dict[str, Any]:
    code, _, said = soak.start(config).wait()
    return {"exit": code, "said": said[-300:] if code else ""}


def _kill(word: str) -> Disturb:
    def disturb(soak: Soak, asked: Asked, config: Path) -> dict[str, Any]:
        running, after = soak.start(config), soak.some_time(asked)
        time.sleep(after)
        killed = running.kill(word)
        code, _, said = running.wait()
        return {"exit": code, "killed": killed, "after": round(after, 1), "said": said[-300:] if code else ""}

    return disturb


def _full(soak: Soak, asked: Asked, config: Path) -> dict[str, Any]:
    code, _, said = soak.start(config, limit=soak.rng.choice([SMALL, 10 * SMALL])).wait()
    return {"exit": code, "said": said[-300:]}


def _bucket(soak: Soak, asked: Asked, config: Path) -> dict[str, Any]:
    fault, share, rng = soak.rng.choice(FAULTS), soak.rng.choice([0.02, 0.2]), random.Random(soak.rng.random())
    soak.proxy.decide = lambda *_: fault if rng.random() < share else None
    code, _, said = soak.start(config).wait()
    return {"exit": code, "fault": fault, "share": share, "said": said[-300:] if code else ""}


def _beside(soak: Soak, asked: Asked, config: Path) -> dict[str, Any]:
    """Another run of the same at the same time, in a folder of its own."""
    document = json.loads(config.read_text())
    document["output_dir"] += "-beside"
    other = config.with_suffix(".beside.json")
    other.write_text(json.dumps(document))
    first, second = soak.start(config), soak.start(other)
    codes = [running.wait()[0] for running in (first, second)]
    return {"exit": codes[0], "beside": codes[1]}


def _other_build(soak: Soak, asked: Asked, config: Path) -> dict[str, Any]:
    """Another build on the same cache at the same time; what it is asked it must know."""
    assert soak.other is not None
    document = json.loads(config.read_text())
    document["output_dir"] += "-before"
    clustering = document["DATASETS"]["d"]["clustering"]
    for name in ("ensemble", "evidence", "markers", "engine"):
        clustering.pop(name, None)
    other = config.with_suffix(".before.json")
    other.write_text(json.dumps(document))
    checkout = str(soak.other.resolve())
    python = ["env", "-C", checkout, f"PYTHONPATH={checkout}", sys.executable, "-m", "flows.command", "run"]
    first, second = soak.start(config), soak.start(other, python=python)
    codes = [running.wait()[0] for running in (first, second)]
    return {"exit": codes[0], "other build": codes[1]}


def _while_it_runs(act: Callable[[Soak, Asked], object]) -> Disturb:
    def disturb(soak: Soak, asked: Asked, config: Path) -> dict[str, Any]:
        running, ended = soak.start(config), threading.Event()

        def go_on() -> None:
            while not ended.wait(1.5):
                act(soak, asked)

        thread = threading.Thread(target=go_on)
        thread.start()
        code, _, said = running.wait()
        ended.set()
        thread.join()
        return {"exit": code, "said": said[-300:] if code else ""}

    return disturb


def _other_times(soak: Soak, asked: Asked) -> None:
    shift = random.choice([-2, -0.01, 0.01, 2]) * 86_400
    for name in ("claims", "leases"):
        for path in (soak.folder / "cache").glob(f"v1/{name}/**/*"):
            try:
                os.utime(path, (time.time() + shift,) * 2)
            except OSError:
                continue


def _prune(soak: Soak, asked: Asked) -> None:
    command = [*RUN[:-1], "cache", "prune", "--max_size", "200KB", "--cache", soak.cache_of(asked)]
    subprocess.run(command, env=soak.environment, capture_output=True, check=False)


DISTURBANCES: dict[str, Disturb] = {
    "nothing": _nothing,
    "the run is killed": _kill(""),
    "a worker is killed": _kill("spawn_main"),
    "the server is killed": _kill("embedded_server"),
    "files may not grow": _full,
    "bucket fails": _bucket,
    "a run beside it": _beside,
    "another build beside it": _other_build,
    "claims get other times": _while_it_runs(_other_times),
    "the cache is pruned": _while_it_runs(_prune),
}


if __name__ == "__main__":
    main()

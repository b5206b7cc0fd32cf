"""`python -m benchmarks.faults`: inject 12 kinds of fault at random points of runs whose data lie in S3.

Input, cache and results of the 700 cells lie in a bucket (moto) behind a proxy. Each run must end right,
or with a clear error and no result; run again without faults, it must give the labels of a run that
nobody disturbed, the input must be as it was, and the cache must be sound.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import logging
import os
import random
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import certifi
import pandas as pd

from tests.faulty_proxy import Decide, FaultyProxy, faulty_proxy
from tests.s3_server import SETTINGS, moto_server

WRITING = ("PUT", "POST", "DELETE")
# By kind: what the proxy does, and to which requests.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "503 SlowDown": ("slow down", ()),
    "timeout": ("timeout", ()),
    "reset in mid-read": ("reset", ("GET",)),
    "short read": ("short read", ("GET",)),
    "eventual listing": ("", ()),
    "expired credentials": ("expired", ()),
    "missing bucket": ("no bucket", ()),
    "read-only bucket": ("denied", WRITING),
    "slow first byte": ("slow first byte", ()),
    "500 InternalError": ("server error", ()),
    "connection refused": ("refused", ()),
    "truncated or garbage": ("garbage", ("GET",)),
}
LASTING = ("expired credentials", "missing bucket", "read-only bucket")
OPTIONS = {"s3": {"config_kwargs": {"read_timeout": 1, "connect_timeout": 1, "retries": {"max_attempts": 1}}}}


def main() -> None:
    """Run everything and print a row for each kind; exits with 1 if any run was neither right nor clear."""
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="only those that hold this text")
    parser.add_argument("--show", action="store_true", help="print each error")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, moto_server() as endpoint, faulty_proxy(endpoint) as proxy:
        environment = {**SETTINGS, "AWS_ENDPOINT_URL": proxy.url, "PREFECT_HOME": f"{folder}/prefect",
                       "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "DO_NOT_TRACK": "1"}  # fmt: skip
        with mock.patch.dict(os.environ, environment):
            wrong = Faults(Path(folder), endpoint, proxy, options.seed, options.show).table(
                options.times, options.kinds
            )
    sys.exit(1 if wrong else 0)


class Faults:
    """The runs: each has a prefix of its own in the bucket for cache and results."""

    def __init__(self, folder: Path, endpoint: str, proxy: FaultyProxy, seed: int, show: bool) -> None:
        import s3fs

        from cellstrata.flows.commands.demo import DATA, write_demo
        from cellstrata.tasks.stores import retries

        self.folder, self.proxy, self.show, self.rng = folder, proxy, show, random.Random(seed)
        self.direct = s3fs.S3FileSystem(endpoint_url=endpoint, use_listings_cache=False)
        self.direct.mkdir("lab")
        write_demo(str(folder))
        self.direct.put_file(str(folder / DATA), "lab/in/cells.h5ad")
        _as_zarr(folder / DATA, folder / "cells.zarr")
        self.direct.put(str(folder / "cells.zarr"), "lab/in/cells.zarr", recursive=True)
        self.before = self._inputs()
        retries.PATIENCE, retries.FIRST_DELAY, retries.LONGEST_DELAY = 4.0, 0.02, 0.5
        proxy.hang = 1.5

    def table(self, times: int, kinds: str) -> int:
        """Run each kind so many times; returns how many runs were neither right nor clear."""
        from cellstrata.flows.server.embedded_server import EmbeddedServer

        server = EmbeddedServer()
        server.start()
        server.wait()
        wrong = 0
        try:
            one_file = {"PREFECT_API_SSL_CERT_FILE": certifi.where()}  # the command makes one anew for each run
            with mock.patch.dict(os.environ, {"PREFECT_API_URL": server.url} | one_file):
                self.expected, self.requests = {}, {}
                for form in ("h5ad", "zarr"):
                    self.proxy.reset()
                    done = self._run(form, f"whole-{form}")
                    assert done[0] == 0, done
                    self.expected[form] = self._labels(f"whole-{form}")
                    self.requests[form] = sum(self.proxy.reset().requests.values())
                print(f"undisturbed: {self.requests} requests")
                print(f"{'kind':22} {'runs':>4} {'right':>6} {'exit 1':>6} {'exit 2':>6} {'again right':>11} "
                      f"{'faults':>6} {'wrong':>5}")  # fmt: skip
                for kind in [kind for kind in KINDS if kinds in kind]:
                    wrong += self._row(kind, times)
        finally:
            server.stop()
        return wrong

    def _row(self, kind: str, times: int) -> int:
        ends: Counter[str] = Counter()
        faults = 0
        for number in range(times):
            form = ("h5ad", "zarr")[number % 2]
            place = f"{kind.replace(' ', '-')}-{number}"
            self.proxy.reset()
            self.proxy.decide = self._plan(kind, form, number)
            self.proxy.hide_new = False
            code, said = self._run(form, place)
            self.proxy.decide, self.proxy.hide_new = (lambda *_: None), False
            self.proxy.hide.clear()
            faults += sum(self.proxy.traffic.injected.values()) or int(kind == "eventual listing")
            problem = self._judge(code, said, form, place)
            again, said_again = self._run(form, place)
            if again == 0 and self._same(form, place):
                ends["again right"] += 1
            else:
                problem = problem or f"run again: exit {again}: {said_again}"
            ends[f"exit {code}"] += 1
            if problem:
                ends["wrong"] += 1
                print(f"  WRONG {place} ({form}): {problem}", flush=True)
            elif self.show and code:
                print(f"  {place} ({form}), exit {code}: {said}", flush=True)
        print(f"{kind:22} {times:4} {ends['exit 0']:6} {ends['exit 1']:6} {ends['exit 2']:6} "
              f"{ends['again right']:11} {faults:6} {ends['wrong']:5}", flush=True)  # fmt: skip
        return ends["wrong"]

    def _plan(self, kind: str, form: str, number: int) -> Decide:
        """Choose where faults come: at one point, in bursts, at random, or from one point on for good."""
        fault, methods = KINDS[kind]
        start = self.rng.randrange(1, self.requests[form])
        shape = "for good" if kind in LASTING else ("burst", "at random", "burst", "for good")[number % 4]
        length, rng = self.rng.randrange(1, 6), random.Random(self.rng.random())
        truncated = number % 4 >= 2

        def decide(method: str, path: str, request: int) -> str | None:
            if kind == "eventual listing":
                self.proxy.hide_new = self.proxy.hide_new or request >= start
                return None
            if methods and method not in methods:
                return None
            due = {
                "burst": start <= request < start + length,
                "at random": rng.random() < 0.05,
                "for good": request >= start,
            }[shape]
            return ("truncated" if kind.startswith("truncated") and truncated else fault) if due else None

        return decide

    def _judge(self, code: int, said: str, form: str, place: str) -> str:
        if code == 0:
            return "" if self._same(form, place) else "exit 0, but the result is another"
        lines = said.strip().splitlines()
        clear = code in (1, 2) and "s3://lab" in said and ";" in said and "Traceback" not in said and len(lines) <= 8
        return "" if clear else f"exit {code}, not clear: {said}"

    def _same(self, form: str, place: str) -> bool:
        from cellstrata.tasks.cache.cache import Cache
        from cellstrata.tasks.cache_care.verify import verify
        from cellstrata.tasks.stores.store import Store

        sound = verify(Cache(Store.at(f"s3://lab/{place}/cache"))).is_sound
        return sound and self._labels(place).equals(self.expected[form]) and self._inputs() == self.before

    def _labels(self, place: str) -> pd.DataFrame:
        path = f"lab/{place}/out/clustering/dataset~d/file_id~f/labels.parquet"
        try:
            return pd.read_parquet(io.BytesIO(self.direct.cat_file(path))).astype(str)
        except FileNotFoundError:
            return pd.DataFrame()

    def _inputs(self) -> dict[str, str]:
        found = self.direct.cat(self.direct.find("lab/in"))
        return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}

    def _run(self, form: str, place: str) -> tuple[int, str]:
        """`cellstrata run` in this process; returns its exit code and what it said."""
        from cellstrata.flows.commands.run import run

        clustering = {"algorithm": "leiden", "resolutions": [0.5], "hierarchy": 2, "recompute_neighbors": True,
                      "neighbors": {"use_rep": "X_pca"}}  # fmt: skip
        document = {
            "output_dir": f"s3://lab/{place}/out",
            "cache": f"s3://lab/{place}/cache",
            "runner": "threads",
            "workers": 2,
            "storage_options": OPTIONS,
            "DATASETS": {"d": {"input": {"clustering": {"f": f"s3://lab/in/cells.{form}"}}, "clustering": clustering}},
        }
        path = self.folder / "config.yaml"
        path.write_text(json.dumps(document))
        logging.getLogger("cellstrata").handlers.clear()
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = run(str(path), [], False, False)
        return code, said.getvalue()


def _as_zarr(source: Path, target: Path) -> None:
    import anndata

    adata: Any = anndata.read_h5ad(source)
    adata.write_zarr(target, chunks=(100, 50))


if __name__ == "__main__":
    main()

"""How often each command asks what its input is, opens it, and sends requests for it, counted before a real S3."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import h5py
import pytest
import yaml
import zarr

from cellstrata.flows.commands.command import main
from cellstrata.tasks.elements import consolidated, kinds, opening
from cellstrata.tasks.stores.places import Place
from tests.faulty_proxy import FaultyProxy
from tests.flows.conftest import Run


class Counts:
    """Looks, openings and requests (by method; LIST is a GET of a listing) that concern one input in a bucket."""

    def __init__(self, url: str) -> None:
        self.url, (self.bucket, _, self.key) = url, url.removeprefix("s3://").partition("/")
        self.looks = self.openings = 0
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()

    def request(self, method: str, path: str, number: int) -> None:
        """Count a request, as the proxy's `decide`; it never makes a fault."""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if "list-type" in query:
            method, key = "LIST", query.get("prefix", "")
        else:
            key = unquote(parts.path).removeprefix(f"/{self.bucket}/")
        if key.rstrip("/") == self.key or key.startswith(f"{self.key}/"):
            with self.lock:
                self.requests[method] += 1

    def numbers(self) -> tuple[int, int, int]:
        return self.looks, self.openings, self.requests.total()


@contextmanager
def counting(url: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    """Count what is asked of an input within the block."""
    counts = Counts(url)
    look, open_h5, open_group = kinds.look, h5py.File, zarr.open_group

    def looked(place: Place) -> kinds.Look:
        counts.looks += place.url == url
        return look(place)

    def opened_h5(source: Any, *rest: Any, **more: Any) -> Any:
        counts.openings += repr(source) == url
        return open_h5(source, *rest, **more)

    def opened_group(store: Any, *rest: Any, **more: Any) -> Any:
        path = getattr(store, "path", str(store).removeprefix("s3://"))  # zarr's own store, or an overlay's
        counts.openings += str(path).strip("/") == f"{counts.bucket}/{counts.key}"
        return open_group(store, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(kinds, "look", looked)
        # What `opening` calls alone: others need `h5py.File` to be a class.
        patch.setattr(opening, "h5py", SimpleNamespace(**vars(h5py) | {"File": opened_h5}))
        patch.setattr(consolidated, "zarr", SimpleNamespace(**vars(zarr) | {"open_group": opened_group}))
        proxy.decide = counts.request
        yield counts
    proxy.decide = lambda method, path, number: None


def put(source: Path, url: str) -> None:
    import s3fs

    s3fs.S3FileSystem().put(str(source), url.removeprefix("s3://"), recursive=True)


def configuration(folder: Path, source: str, s3: str) -> Path:
    settings = {"algorithm": "leiden", "resolutions": [0.5], "hierarchy": 2}
    document = {
        "output_dir": f"{s3}/out", "cache": str(folder / "cache"), "runner": "threads", "workers": 2,
        "figures": False, "DATASETS": {"d": {"input": {"clustering": {"f": source}}, "clustering": settings}},
    }  # fmt: skip
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


# Requests for the keys of the input, which were before an input was handed on as opened: in both forms.
# {command: {form: (measured now, measured before)}}; the first may vary a little with how HDF5 and zarr read.
# Of a zarr 16 or 17 are for the own metadata of what is read: two for each array and group, three where nothing is.
MEASURED: dict[str, dict[str, tuple[int, int]]] = {
    "cluster": {"h5ad": (29, 37), "zarr": (102, 153)},
    "cluster, level 2": {"h5ad": (43, 62), "zarr": (41, 60)},
    "plan": {"h5ad": (7, 11), "zarr": (27, 44)},
    "run": {"h5ad": (12, 22), "zarr": (109, 166)},
    "run again": {"h5ad": (7, 11), "zarr": (27, 44)},
    "explain": {"h5ad": (35, 35), "zarr": (35, 35)},
    "collect": {"h5ad": (6, 6), "zarr": (6, 6)},
    "collect, zarr": {"h5ad": (40, 46), "zarr": (39, 45)},
    "materialize": {"h5ad": (91, 94), "zarr": (71, 74)},
    "explain, zarr": {"h5ad": (47, 60), "zarr": (45, 56)},
    "collect, of a zarr": {"h5ad": (259, 299), "zarr": (153, 189)},
    "materialize, zarr": {"h5ad": (849, 854), "zarr": (373, 382)},
}


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_one_look_and_one_opening_of_the_input(
    form: str, forms: dict[str, Path], proxy: FaultyProxy, s3: str, run: Run, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CELLSTRATA_CACHE", str(tmp_path / "level-cache"))
    source, result = f"{s3}/in.{form}", f"{s3}/one.zarr"
    put(forms[form], source)
    found: dict[str, Any] = {}

    def count(name: str, url: str, *words: str) -> None:
        with counting(url, proxy, monkeypatch) as counts:
            code = main(list(words))
        assert code == 0, capsys.readouterr().err
        found[name] = (*counts.numbers(), dict(counts.requests))

    count("cluster", source, "cluster", source, result, "--resolution", "0.5")
    count("cluster, level 2", result, "cluster", result, f"{s3}/two.zarr", "--resolution", "0.4", "--level", "2")
    config = configuration(tmp_path, source, s3)
    count("plan", source, "plan", str(config))
    for name in ("run", "run again"):
        with counting(source, proxy, monkeypatch) as counts:
            report = run(**yaml.safe_load(config.read_text()), report=True)["datasets"]["d/f"]
        assert "error" not in report, report["error"]
        found[name] = (*counts.numbers(), dict(counts.requests))
    count("explain", result, "explain", result, "--cluster", "0")
    count("collect", result, "collect", result, "--output", str(tmp_path / "labels.parquet"))
    count("collect, zarr", result, "collect", result, "--output", str(tmp_path / "both.zarr"))
    count("materialize", result, "materialize", result, f"{s3}/whole.zarr")
    whole = f"{s3}/whole.zarr"
    count("explain, zarr", whole, "explain", whole, "--cluster", "0")
    count("collect, of a zarr", whole, "collect", whole, "--output", str(tmp_path / "again.zarr"))
    count("materialize, zarr", whole, "materialize", whole, str(tmp_path / "third.zarr"))
    assert {name: numbers[:2] for name, numbers in found.items()} == dict.fromkeys(MEASURED, (1, 1))
    for name, (_, _, requests, kinds_of_request) in found.items():
        now, before = MEASURED[name][form]
        most = 1.15 * now + 2  # zarr 3.4 and anndata 0.13, on Python 3.13, ask a little more often
        assert requests <= most, f"{name}: {kinds_of_request}; before: {before}"

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cellstrata.tasks.cache.cache import ArrayRef, Cache, DamagedEntry, Record
from cellstrata.tasks.cache.record import SCHEME
from cellstrata.tasks.stores.digest import canonical_json, digest_array
from cellstrata.tasks.stores.store import Store
from tests.tasks.small import cache_at

TYPES = (np.int32, np.int64, np.float32, np.float64)
VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)
KEY = "ab" * 16


@pytest.fixture(params=["local", "memory"])
def cache(request: Any, tmp_path: Path) -> Cache:
    if request.param == "local":
        return cache_at(tmp_path / "cache")
    return Cache(Store.at(f"memory://{uuid.uuid4().hex}/cache"))


@pytest.fixture
def local(tmp_path: Path) -> Cache:
    return cache_at(tmp_path / "cache")


def fill(cache: Cache, key: str = KEY) -> Record:
    arrays = {"labels": cache.put(VALUES).to_json(), "empty": cache.put(VALUES[:0]).to_json()}
    return cache.write_record("split", key, {"arrays": arrays, "sizes": [3], "note": None})


def chunk(ref: ArrayRef) -> str:
    return f"v{SCHEME}/arrays/{ref.digest[:2]}/{ref.digest}/c/0/0"


def record_path(key: str = KEY) -> str:
    return f"v{SCHEME}/records/{key[:2]}/{key}.json"


def test_round_trip(cache: Cache) -> None:
    assert cache.find(KEY, "split") is None
    written = fill(cache)
    found = cache.find(KEY, "split")
    assert found == written
    assert found is not None
    np.testing.assert_array_equal(cache.array(found, "labels"), VALUES)
    assert cache.array(found, "empty").shape == (0, 4)
    assert set(found.arrays()) == {"labels", "empty"}
    np.testing.assert_array_equal(cache.view(found.array("labels")), VALUES)


def test_survives_pickling_and_reopening(cache: Cache) -> None:
    fill(cache)
    again: Cache = pickle.loads(pickle.dumps(cache))
    assert again.find(KEY, "split") == cache.find(KEY, "split")


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(TYPES).flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=1, max_dims=3, min_side=0))))
def test_any_array(values: npt.NDArray[Any]) -> None:
    cache = Cache(Store.at("memory://any-array"))
    ref = cache.put(values)
    again = cache.get(ArrayRef.from_json(json.loads(json.dumps(ref.to_json()))))
    assert again.dtype == values.dtype
    assert again.shape == values.shape
    assert again.tobytes() == values.tobytes()


@pytest.mark.parametrize("values", [VALUES, VALUES.T, VALUES[::2, 1:3], VALUES.astype(">f4")])
def test_order_and_byte_order_do_not_matter(values: npt.NDArray[Any], cache: Cache) -> None:
    ref = cache.put(values)
    assert ref == cache.put(np.ascontiguousarray(values, dtype="<f4"))
    np.testing.assert_array_equal(cache.get(ref), values)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (0, 2), (1, 1)])
def test_zarr_opens_the_arrays(dtype: Any, shape: tuple[int, ...], local: Cache, tmp_path: Path) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    ref = local.put(values)
    opened = zarr.open_array(str(tmp_path / "cache" / "v1" / "arrays" / ref.digest[:2] / ref.digest), mode="r")
    assert opened.dtype == dtype
    np.testing.assert_array_equal(opened[...], values)


def truncate(cache: Cache, path: str) -> None:
    cache.store.write(path, cache.store.read(path)[:-3])


def lengthen(cache: Cache, path: str) -> None:
    cache.store.write(path, cache.store.read(path) + b"\0\0\0\0")


def alter(cache: Cache, path: str) -> None:
    data = bytearray(cache.store.read(path))
    data[len(data) // 2] ^= 1
    cache.store.write(path, bytes(data))


def remove(cache: Cache, path: str) -> None:
    cache.store.remove(path)


def empty(cache: Cache, path: str) -> None:
    cache.store.write(path, b"")


DAMAGE = [truncate, lengthen, alter, remove, empty]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_array_is_absent_and_mended(damage: Callable[[Cache, str], None], cache: Cache, caplog: Any) -> None:
    ref = fill(cache).array("labels")
    damage(cache, chunk(ref))
    with caplog.at_level(logging.WARNING):
        assert cache.find(KEY, "split") is None
    assert "computed again" in caplog.text
    assert not cache.has(ref)
    with pytest.raises(DamagedEntry):
        cache.get(ref)
    caplog.clear()
    fill(cache)
    assert cache.find(KEY, "split") is not None
    assert not caplog.text


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_absent_and_mended(damage: Callable[[Cache, str], None], cache: Cache, caplog: Any) -> None:
    fill(cache)
    damage(cache, record_path())
    assert cache.find(KEY, "split") is None
    assert ("is damaged" in caplog.text) == (damage is not remove)
    assert cache.find(fill(cache).key, "split") is not None


def document(**changes: Any) -> bytes:
    body = {"arrays": {}, "sizes": [3]}
    digest = digest_array(np.frombuffer(canonical_json(body), dtype=np.uint8))
    whole = {"scheme": SCHEME, "kind": "split", "key": KEY, "digest": digest, "body": body}
    return canonical_json(whole | changes)


FOREIGN = {
    "other JSON": b'{"hello": "world"}',
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"7",
    "not UTF-8": b"\xff\xfe{}",
    "HTML": b"<html>404</html>",
    "deep": b"[" * 200_000,
    "another key": document(key="cd" * 16),
    "another digest": document(digest="0" * 32),
    "body is a list": document(body=[]),
    "body is NaN": document().replace(b"[3]", b"[NaN]"),
    "no kind": canonical_json({k: v for k, v in json.loads(document()).items() if k != "kind"}),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_record_is_absent_and_said(name: str, cache: Cache, caplog: Any) -> None:
    cache.store.write(record_path(), FOREIGN[name])
    assert cache.find(KEY, "split") is None
    assert cache.read_record(KEY) is None
    assert "is damaged" in caplog.text
    assert cache.find(fill(cache).key, "split") is not None


@pytest.mark.parametrize(
    "arrays",
    [
        {"labels": "text"},
        {"labels": {"digest": "x"}},
        {"labels": {"digest": "0" * 32, "dtype": "<f4", "shape": [3]}},
        {"labels": {"digest": "0" * 32, "dtype": "|O", "shape": [3]}},
        {"labels": {"digest": "0" * 32, "dtype": "<f4", "shape": [-1]}},
        {"labels": {"digest": "0" * 32, "dtype": "<f4", "shape": ["a"]}},
        ["labels"],
    ],
)
def test_a_record_with_impossible_arrays_is_absent(arrays: Any, cache: Cache) -> None:
    cache.write_record("split", KEY, {"arrays": arrays})
    assert cache.find(KEY, "split") is None


def test_a_newer_scheme_is_ignored_without_a_word(cache: Cache, caplog: Any) -> None:
    cache.store.write(record_path(), document(scheme=SCHEME + 1))
    assert cache.find(KEY, "split") is None
    assert not caplog.text


def test_another_kind_is_absent(cache: Cache) -> None:
    fill(cache)
    assert cache.find(KEY, "graph") is None
    assert cache.find(KEY, "split") is not None


def test_a_record_found_under_another_key_is_not_used(cache: Cache) -> None:
    fill(cache)
    other = "cd" * 16
    cache.store.write(record_path(other), cache.store.read(record_path()))
    assert cache.find(other, "split") is None


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(cache: Cache, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    payload = pickle.dumps(Trap(trap))
    ref = fill(cache).array("labels")
    cache.store.write(record_path(), payload)
    assert cache.find(KEY, "split") is None
    fill(cache)
    cache.store.write(chunk(ref), payload)
    assert cache.find(KEY, "split") is None
    pickle.loads(payload)
    assert trap.exists(), "the trap works"


def test_view_refuses_what_is_missing_or_too_short(local: Cache) -> None:
    ref = local.put(VALUES)
    assert isinstance(local.view(ref), np.memmap)
    truncate(local, chunk(ref))
    with pytest.raises(DamagedEntry):
        local.view(ref)
    remove(local, chunk(ref))
    with pytest.raises(DamagedEntry):
        local.view(ref)


@pytest.mark.parametrize("at", ["/c/", "zarr.json"])
def test_an_interrupted_write_leaves_nothing_that_is_taken(at: str, local: Cache, monkeypatch: Any) -> None:
    write = Store.write

    def fails(self: Store, key: str, data: Any) -> None:
        if at in key:
            raise OSError("disk full")
        write(self, key, data)

    monkeypatch.setattr(Store, "write", fails)
    with pytest.raises(OSError, match="disk full"):
        local.put(VALUES)
    monkeypatch.undo()
    ref = local.put(VALUES)
    folder = Path(local.store.path(chunk(ref))).parents[2]
    np.testing.assert_array_equal(zarr.open_array(str(folder), mode="r")[...], VALUES)


def test_no_leftovers(local: Cache, tmp_path: Path) -> None:
    fill(local)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]


WRITER = """
import sys
import numpy as np
from tests.tasks.small import cache_at
cache = cache_at(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(60):
    values = np.full(5000, turn, np.float32)
    ref = cache.put(values)
    key = f"{turn:032x}"
    cache.write_record("split", key, {"arrays": {"labels": ref.to_json()}, "turn": turn})
    found = cache.find(key, "split")
    assert found is not None and found.body["turn"] == turn
    assert (cache.array(found, "labels") == turn).all()
"""


def test_two_processes_write_the_same_at_once(tmp_path: Path, local: Cache, caplog: Any) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert all(local.find(f"{turn:032x}", "split") for turn in range(60))
    assert not caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]


def test_options_are_not_shown(tmp_path: Path) -> None:
    store = Store.at("memory://x", {"memory": {"key": "secret"}})
    assert "secret" not in repr(Cache(store))

"""Faults of stores: what passes is tried again and said once, what lasts is one clear error."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cellstrata.tasks.stores.local_disk
from cellstrata.tasks.cache.cache import Cache, DamagedEntry
from cellstrata.tasks.elements.opening import InputError, reading
from cellstrata.tasks.stores import retries
from cellstrata.tasks.stores.faults import StoreDenied, StoreError, fault_of
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.retries import Retrying
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.stores.write_access import unusable
from tests.faulty_proxy import FaultyProxy
from tests.s3_server import SETTINGS

QUICK = {"config_kwargs": {"read_timeout": 0.5, "connect_timeout": 1, "retries": {"max_attempts": 0}}}
PASSING = {
    "slow down": "asks to slow down",
    "server error": "an error of its own",
    "timeout": "does not answer in time",
    "reset": "breaks off",
    "truncated": "breaks off",
    "short read": "fewer bytes|garbled",
    "garbage": "fewer bytes|garbled",
    "refused": "breaks off|cannot be reached",
}
LASTING = {
    "expired": ("credentials are refused (ExpiredToken)", "renew them"),
    "denied": ("access is denied (AccessDenied)", "permission"),
    "no bucket": ("there is no such bucket (NoSuchBucket)", "create it"),
}


@pytest.fixture
def store(s3: str, proxy: FaultyProxy) -> Store:
    """A store behind the proxy, which has answered before."""
    store = Store.at(s3, {"s3": QUICK})
    store.write("there", bytes(range(256)) * 40)
    proxy.hang = 0.8
    return store


def first(fault: str, count: int, proxy: FaultyProxy) -> Callable[..., str | None]:
    """Let the first requests fail."""
    proxy.reset()
    return lambda method, path, number: fault if number <= count else None


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again_and_said_once(
    fault: str, store: Store, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.decide = lambda method, path, number: fault if number in (2, 3) else None  # the first asks for the size
    proxy.reset()
    with caplog.at_level(logging.WARNING, "cellstrata.store"), store.open("there") as file:
        file.seek(100)
        assert file.read(5000) == (bytes(range(256)) * 40)[100:5100]
    assert proxy.traffic.injected[fault] == 2
    (said,) = [record.message for record in caplog.records if record.name == "cellstrata.store"]
    assert said.startswith(f"{store.place}: ")
    assert any(words in said for words in PASSING[fault].split("|")), said


@pytest.mark.parametrize("fault", ["slow down", "timeout", "refused"])
def test_writing_is_tried_again(fault: str, store: Store, proxy: FaultyProxy) -> None:
    proxy.decide = first(fault, 2, proxy)
    store.write("new", b"abc")
    assert proxy.traffic.injected[fault] == 2
    assert store.read("new") == b"abc"


@pytest.mark.parametrize("fault", ["slow down", "timeout", "server error"])
def test_what_does_not_pass_is_given_up(fault: str, store: Store, proxy: FaultyProxy) -> None:
    proxy.decide = lambda *_: fault
    with pytest.raises(StoreError) as caught:
        store.read("there")
    assert not caught.value.lasting
    assert store.place in str(caught.value)
    assert PASSING[fault] in str(caught.value)
    assert "run again" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.lasting) == (str(caught.value), False)


@pytest.mark.parametrize("fault", LASTING)
def test_what_lasts_is_said_at_once(fault: str, store: Store, proxy: FaultyProxy) -> None:
    proxy.decide = lambda *_: fault
    for act in (lambda: store.read("there"), lambda: store.write("x", b""), lambda: list(store.walk())):
        proxy.reset()
        with pytest.raises(StoreError) as caught:
            act()
        assert proxy.traffic.injected[fault] == 1
        for words in LASTING[fault]:
            assert words in str(caught.value)
        assert caught.value.lasting
        assert not isinstance(caught.value, FileNotFoundError)  # which a reader of zarr takes for zeros
        assert isinstance(caught.value, StoreDenied) == (fault != "no bucket")


def test_what_is_not_there_is_no_fault(store: Store, proxy: FaultyProxy) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("nowhere")
    assert not store.exists("nowhere")
    proxy.reset()
    with pytest.raises(FileNotFoundError):
        store.read("nowhere")
    assert dict(proxy.traffic.requests) == {"GET": 1}  # neither its size nor its folder is asked for


def test_a_server_that_never_answers_does_not_hold_an_upload_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PATIENCE", 1.0)
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(50)
    kept: list[Any] = []
    threading.Thread(target=lambda: kept.extend(silent.accept() for _ in range(50)), daemon=True).start()
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    options = {**QUICK, "endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}"}
    with pytest.raises(StoreError, match="does not answer in time"):
        Store.at("s3://silent", {"s3": options}).write("x", b"abc")
    silent.close()


def test_a_place_that_never_answered_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter(range(100))

    def fail() -> None:
        next(tries)
        raise ConnectionRefusedError

    with pytest.raises(StoreError, match="cannot be reached"):
        retries.insist("s3://nobody", fail)
    assert next(tries) == retries.UNKNOWN


def test_a_short_part_is_noticed_and_read_again() -> None:
    class Short:
        protocol = ("short",)
        asynchronous = False
        calls = 0

        def cat_file(self, path: str, start: int, end: int) -> bytes:
            self.calls += 1
            return bytes(end - start - (self.calls == 1))

        async def _cat_file(self, path: str) -> bytes:
            return b""

    fs = Short()
    assert Retrying(fs, "short://x").cat_file("a", 5, 25) == bytes(20)
    assert fs.calls == 2


def test_a_bucket_is_asked_before_work_starts(s3: str, store: Store, proxy: FaultyProxy) -> None:
    options = {"s3": QUICK}
    assert unusable(Place(f"{s3}/out", options)) is None
    assert list(Store.at(f"{s3}/out").walk()) == []
    assert "there is no such bucket" in str(unusable(Place("s3://no-such-bucket-here/out", options)))
    proxy.decide = lambda method, path, number: "denied" if method == "PUT" else None
    assert "nothing can be written to" in str(unusable(Place(f"{s3}/out", options)))
    proxy.decide = lambda method, path, number: "denied" if method in ("DELETE", "POST") else None
    assert "nothing can be removed from" in str(unusable(Place(f"{s3}/out", options)))
    assert "can only be read" in str(unusable(Place("https://lab.org/out")))


def test_eventual_listing_hides_nothing_that_is_asked_for_by_name(store: Store, proxy: FaultyProxy) -> None:
    proxy.hide_new = True
    cache = Cache(store)
    ref = cache.put(np.arange(5, dtype=np.int32))
    cache.write_record("split", "ab" * 16, {"arrays": {"labels": ref.to_json()}})
    assert list(store.walk("v1")) == []
    assert cache.find("ab" * 16, "split") is not None
    np.testing.assert_array_equal(cache.get(ref), np.arange(5))


def test_a_page_that_is_not_the_stores_is_no_object(store: Store, proxy: FaultyProxy) -> None:
    proxy.decide = lambda method, path, number: "garbage" if number == 1 else None
    for name in ("there", "nowhere"):
        proxy.reset()
        assert store.fs.cat_file(store.path("there")) == bytes(range(256)) * 40
        if name == "nowhere":
            proxy.reset()
            with pytest.raises(FileNotFoundError):
                store.read(name)
        assert dict(proxy.traffic.requests) == {"GET": 2}


def test_an_array_that_comes_garbled_is_read_again(
    store: Store, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(store)
    ref = cache.put(np.arange(500, dtype=np.int32))
    real, reads = Store.read, iter(range(100))
    monkeypatch.setattr(Store, "read", lambda self, key: b"page" if next(reads) == 0 else real(self, key))
    np.testing.assert_array_equal(cache.get(ref), np.arange(500))
    assert next(reads) == 2


def test_damage_that_a_store_does_not_notice_is_noticed_by_the_cache(store: Store, proxy: FaultyProxy) -> None:
    cache = Cache(store)
    ref = cache.put(np.arange(500, dtype=np.int32))
    store.write(f"v1/arrays/{ref.digest[:2]}/{ref.digest}/c/0", b"\0" * 2000)
    with pytest.raises(DamagedEntry):
        cache.get(ref)


class Answer(Exception):
    def __init__(self, **attributes: Any) -> None:
        super().__init__("said")
        self.__dict__.update(attributes)


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "lasts"),
    [
        (Answer(code=503, message="x"), False),  # gcsfs
        (Answer(code=401), True),
        (OSError("Forbidden: https://storage/x\nno"), True),
        (Answer(status_code=500), False),  # Azure
        (Answer(error_code="ServerBusy"), False),
        (Answer(error_code="AuthorizationPermissionMismatch"), True),
        (Answer(status=429), False),  # aiohttp
        (caused(FileNotFoundError("http://x"), Answer(status=503)), False),
        (caused(FileNotFoundError("http://x"), Answer(status=403)), True),
        (caused(FileNotFoundError("http://x"), TimeoutError()), False),
        (caused(FileNotFoundError("http://x"), Answer(status=404)), None),
        (FileNotFoundError("x"), None),
        (OSError(errno.ENOSPC, "full"), None),
        (KeyError("x"), None),
        (ValueError("x"), None),
        (PermissionError("x"), True),
        (ConnectionResetError(), False),
    ],
)
def test_each_librarys_errors_are_told_apart(error: BaseException, lasts: bool | None) -> None:
    found = fault_of(error)
    assert (found and found[0].lasts) == lasts


@pytest.fixture
def local(tmp_path: Any) -> Store:
    return Store(str(tmp_path))


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN, errno.EIO])
def test_a_mount_that_vanishes(number: int, local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellstrata.flows.commands.terminal import unexpected

    def gone(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cellstrata.tasks.stores.local_disk, "_open_new", gone)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        local.write("a/b", b"x")
    assert "network mount has gone" in unexpected(caught.value)
    assert f"{local.root}/a/b" in unexpected(caught.value)
    with pytest.raises(InputError, match="network mount has gone"), reading("/data/x.zarr", "obs"):
        gone()
    with pytest.raises(InputError, match="network mount has gone"), reading("/data/x.h5ad", "obs"):
        raise OSError(f"Can't read data (file read failed: errno = {number}, error message = 'x')")


def test_stores_are_sent_to_workers_with_their_options() -> None:
    store = pickle.loads(pickle.dumps(Store.at("s3://lab/x", {"s3": {"key": "HUSH"}})))
    assert store.options == {"key": "HUSH"}
    assert "HUSH" not in repr(store) + json.dumps(store.url)

"""The layer over fsspec's file systems that tries again: with backoff and jitter, said once, not for ever.

What the libraries do themselves stays: botocore repeats a request up to 4 times, gcsfs 5 times, Azure's
3 times. They do not repeat a body that breaks off or comes short, s3fs does so silently, and plain http
repeats nothing. So each operation goes through here: faults that pass are repeated for up to a minute,
and what is given up is one `StoreError` that says where, what, and what to do.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import multiprocessing
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from cellstrata.tasks.stores.faults import (
    NO_BUCKET_THERE,
    Fault,
    Garbled,
    NoRanges,
    ShortRead,
    StoreDenied,
    StoreError,
    fault_of,
    fault_of_answer,
)

T = TypeVar("T")
log = logging.getLogger("cellstrata.store")

PATIENCE = 60.0  # seconds since an operation failed first, after which it is not tried again
MOST = 8  # tries
FIRST_DELAY, LONGEST_DELAY = 0.2, 15.0  # seconds, each drawn from half to the whole of it
UNKNOWN = 2  # tries at a place that has never answered: more likely its name is wrong

_said: set[tuple[str, str]] = set()
_answered: set[str] = set()
_lock = threading.Lock()


class Tries:
    """The tries of one operation at one place."""

    def __init__(self, place: str) -> None:
        self.place, self.count, self.since = place, 0, 0.0

    def after(self, error: Exception) -> float:
        """Return how long to wait before the next try (s).

        Raises
        ------
        StoreError
            If the fault lasts, or enough has been tried.
        Exception
            The error itself, if it is no fault of a store.
        """
        if isinstance(error, StoreError) or (found := fault_of(error)) is None:
            raise error
        fault, detail = found
        now = time.monotonic()
        self.count, self.since = self.count + 1, self.since or now
        most = MOST if self.place in _answered else UNKNOWN
        if fault.lasts or self.count >= most or now - self.since > PATIENCE:
            raise _given_up(self.place, fault, detail, self.count, now - self.since) from error
        say_once(self.place, fault, detail)
        return float(min(FIRST_DELAY * 2 ** (self.count - 1), LONGEST_DELAY) * random.uniform(0.5, 1))

    def done(self) -> None:
        """Note that the place answers."""
        if self.place not in _answered:
            _answered.add(self.place)


def insist(place: str, call: Callable[[], T]) -> T:
    """Call a function, again while the store has faults that pass. Raises as `Tries.after`."""
    tries = Tries(place)
    while True:
        try:
            result = call()
        except FileNotFoundError as error:
            delay = _absent(tries, error)
        except Exception as error:
            delay = tries.after(error)
        else:
            tries.done()
            return result
        time.sleep(delay)


async def insist_async(place: str, call: Callable[[], Any]) -> Any:
    """The same for a coroutine function."""
    tries = Tries(place)
    while True:
        try:
            result = await call()
        except FileNotFoundError as error:
            delay = _absent(tries, error)
        except Exception as error:
            delay = tries.after(error)
        else:
            tries.done()
            return result
        await asyncio.sleep(delay)


def _absent(tries: Tries, error: FileNotFoundError) -> float:
    if fault_of(error) is None:
        tries.done()
        raise error
    return tries.after(error)


def say_once(place: str, fault: Fault, detail: str) -> None:
    """Log a fault that is tried again, one line for each place and kind; workers leave that to their run."""
    with _lock:
        if (place, fault.what) in _said:
            return
        _said.add((place, fault.what))
    level = logging.WARNING if multiprocessing.parent_process() is None else logging.INFO
    log.log(level, "%s: %s (%s); trying again, said once", place, fault.what, detail)


def forget_said() -> None:
    """Let a new run say again what an earlier one of this process has said."""
    with _lock:
        _said.clear()


def _given_up(place: str, fault: Fault, detail: str, tries: int, seconds: float) -> StoreError:
    kind = StoreDenied if fault.lasts and fault is not NO_BUCKET_THERE else StoreError
    still = f", still after {tries} tries in {seconds:.0f} s" if tries > 1 else ""
    return kind(place, f"{fault.what} ({detail}){still}", fault.mend, fault.lasts)


class Retrying:
    """A file system of fsspec whose operations are tried again; everything else is as in it.

    Coroutine functions, with which zarr works, are tried again as such. Parts of files have the length
    that was asked for.
    """

    def __init__(self, fs: Any, place: str) -> None:
        self._fs, self._place = fs, place
        self._is_s3 = "s3" in fs.protocol
        if self._is_s3:
            fs.retries = 1  # s3fs's own, which are silent; botocore's stay, and are noted

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fs, name)
        if name.startswith("__") or not callable(found) or name in _PLAIN:
            return found
        if inspect.iscoroutinefunction(found):

            async def call(*args: object, **kwargs: object) -> object:
                await self._ready_async()
                return await insist_async(self._place, lambda: found(*args, **kwargs))

            return call
        if name.startswith("_"):
            return found
        self._ready()
        return lambda *args, **kwargs: insist(self._place, lambda: found(*args, **kwargs))

    def pipe_file(self, path: str, value: bytes, **options: object) -> None:
        """Write an object whole. What is not found is then the bucket: gcsfs does not say so."""
        self._ready()
        try:
            insist(self._place, lambda: self._fs.pipe_file(path, value, **options))
        except FileNotFoundError as error:
            raise _given_up(self._place, NO_BUCKET_THERE, "404", 1, 0.0) from error

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read a file, or the bytes from `start` (from 0) to `end` of it."""
        self._ready()
        if start is not None or end is not None:
            return insist(self._place, lambda: _checked(self._fs.cat_file(path, start=start, end=end), start, end))
        if self._is_s3:
            loop = self._fs.loop
            return insist(self._place, lambda: asyncio.run_coroutine_threadsafe(self._object(path), loop).result())
        return insist(self._place, lambda: bytes(self._fs.cat_file(path)))

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        await self._ready_async()

        async def read() -> bytes:
            if start is not None or end is not None:
                return _checked(await self._fs._cat_file(path, start=start, end=end), start, end)
            return await self._object(path) if self._is_s3 else bytes(await self._fs._cat_file(path))

        data: bytes = await insist_async(self._place, read)
        return data

    async def _object(self, path: str) -> bytes:
        """Read an object of S3 in one request; s3fs asks for its size first, which triples what a miss costs."""
        bucket, key, version = self._fs.split_path(path)
        more = {"VersionId": version} if version else {}
        answer = await self._fs._call_s3("get_object", Bucket=bucket, Key=key, **more)
        try:
            data: bytes = await answer["Body"].read()
        finally:
            answer["Body"].close()
        if "ETag" not in answer:
            raise Garbled(f"{len(data)} bytes without an ETag")
        return data

    async def _cat_ranges(
        self, paths: list[str], starts: list[int], ends: list[int], on_error: str = "return", **_: Any
    ) -> list[Any]:
        reads = [self._cat_file(*part) for part in zip(paths, starts, ends, strict=True)]
        return list(await asyncio.gather(*reads, return_exceptions=on_error == "return"))

    def _ready(self) -> None:
        """Make the client of S3 now, so that it is ours from its first request on."""
        if self._is_s3 and not self._fs.asynchronous:
            insist(self._place, self._fs.connect)
            self._take(self._fs._s3)

    async def _ready_async(self) -> None:
        if self._is_s3:
            self._take(await insist_async(self._place, self._fs.set_session))

    def _take(self, client: Any) -> None:
        """Have botocore tell of the faults that it repeats by itself, and let no upload wait for ever.

        Before it sends a body, botocore waits for the server to ask for it (`Expect: 100-continue`), and
        aiohttp ends that wait by no timeout at all: aio-libs/aiobotocore#1001 (closed) suspects it, and
        marin-community/marin#6719 (open) has measured it. `send_at_once` can go when a read timeout ends that wait.
        """
        if getattr(client, "_cellstrata_watched", False):
            return
        client._cellstrata_watched = True
        place = self._place

        def tell(response: Any = None, caught_exception: Any = None, **_: Any) -> None:
            if caught_exception is not None:
                found = fault_of(caught_exception)
            else:
                http, parsed = response
                found = fault_of_answer(str(parsed.get("Error", {}).get("Code", "")), http.status_code)
            if found and not found[0].lasts:
                say_once(place, *found)

        def send_at_once(params: Any, **_: Any) -> None:
            params["headers"].pop("Expect", None)

        client.meta.events.register_first("needs-retry.s3", tell)
        client.meta.events.register_last("before-call.s3", send_at_once)


_PLAIN = ("open", "to_json", "to_dict", "invalidate_cache", "split_path", "unstrip_protocol")  # ask no store


def _checked(data: bytes, start: int | None, end: int | None) -> bytes:
    if start is None or end is None or start < 0 or end < 0 or len(data) == end - start:
        return data
    if len(data) < end - start:
        raise ShortRead(f"{len(data)} of {end - start} bytes")
    raise NoRanges(f"{len(data)} bytes instead of {end - start}")

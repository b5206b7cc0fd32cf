"""Putting a plain zarr into a bucket: its mark first, its root metadata last, one writer at a time.

A zarr of many objects cannot appear in one step where there is no renaming. So its root metadata go
first, and come back when all else is there; and since two writers would mix their chunks, a writer
puts a marker there that only one can create.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cellstrata.tasks.overlays.document import DOCUMENT
from cellstrata.tasks.overlays.own_folders import WRITER, remove_superseded
from cellstrata.tasks.publishing.input_elements import METADATA, Untouched, copy_objects
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.heartbeat import OF_A_RUN, Heartbeat, may_live, own_process
from cellstrata.tasks.stores.objects import time_of
from cellstrata.tasks.stores.store import Store

MARK = "uns/clustering/made_by"  # first, so that an interrupted upload is known as ours
PACE = OF_A_RUN
TOGETHER = 256  # objects between two looks whether the place is still ours


def upload(staged: Path, target: Store, untouched: Untouched) -> int:
    """Write a staged zarr and what is still to be copied to `target`, as `put_zarr` does; return the bytes."""
    local = Store(str(staged))
    pending = getattr(untouched, "pending", [])
    return put_zarr(
        target, sorted(local.walk()), lambda keys, to: copy_objects(local, keys, to), pending, untouched.finish
    )


def put_zarr(
    target: Store,
    keys: list[str],
    copy: Callable[[list[str], Store], int],
    pending: Sequence[str] = (),
    finish: Callable[[Store], int] | None = None,
) -> int:
    """Write the objects `keys` of a zarr to `target` by `copy`, and the `pending` ones by `finish`; return the bytes.

    What stood there before loses its root metadata first, so that a reader never opens a store that
    is half old and half new, and what is not overwritten is removed. An overlay that stood there
    remains the result until its document is removed, after everything else.

    Raises
    ------
    OutputError
        If another run is writing there, or has begun to.
    """
    with writing(target) as writer:
        before = set(target.walk())
        for key in METADATA:
            if key in before:
                target.remove(key)
        mark = [key for key in keys if key.startswith(f"{MARK}/")]
        last = [key for name in (".zattrs", ".zmetadata", ".zgroup", "zarr.json") for key in keys if key == name]
        size = copy(mark, target)
        others = [key for key in keys if key not in {*mark, *last}]
        for start in range(0, len(others), TOGETHER):
            writer.check()
            size += copy(others[start : start + TOGETHER], target)
        writer.check()
        size += finish(target) if finish is not None else 0
        writer.check()
        for key in sorted(before - {*keys, *pending, *METADATA, DOCUMENT, WRITER}):
            if not key.startswith("own~"):
                target.remove(key)
        for key in last:
            size += copy([key], target)
        if DOCUMENT in before:
            target.remove(DOCUMENT)
        remove_superseded(target)
    return size


class Writer:
    """The one run that writes to a place, as long as its marker stands there."""

    def __init__(self, target: Store) -> None:
        self.target, self.run = target, uuid.uuid4().hex
        self._heart = Heartbeat("cellstrata-writer", PACE.renewed_every, self._renew)

    def begin(self) -> None:
        """Create the marker; raises OutputError if another live run has."""
        for _ in range(3):
            try:
                self.target.fs.pipe_file(self.target.path(WRITER), self._text(), mode="create")
                break
            except OSError:  # stores differ in what they raise when it is there
                other = self._there()
                if other is None:
                    raise
                if other.get("run") == self.run:  # it was tried again, though the first time had succeeded
                    break
                if self._lives(other):
                    raise self._taken(other) from None
                self.target.remove(WRITER)
        else:
            raise OutputError(self.target.url, "", "other runs write there too; run again when they have ended")
        self.check()  # where a store knows no such creating, the last of two at once remains
        self._heart.start()

    def check(self) -> None:
        """Raise OutputError if another run has taken the place over."""
        there = self._there()
        if there is None or there.get("run") != self.run:
            raise self._taken(there or {})

    def end(self) -> None:
        """Remove the marker, unless it is another run's."""
        self._heart.stop()
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            if (self._there() or {}).get("run") == self.run:
                self.target.remove(WRITER)

    def _text(self) -> bytes:
        return json.dumps({"run": self.run, **own_process()}).encode()

    def _there(self) -> dict[str, object] | None:
        try:
            found = json.loads(self.target.read(WRITER))
            return found if isinstance(found, dict) else {}
        except FileNotFoundError:
            return None
        except ValueError:
            return {}

    def _lives(self, other: dict[str, object]) -> bool:
        written = time_of(self.target, WRITER) if may_live(other) else None
        return written is not None and PACE.counts(time.time() - written)

    def _taken(self, other: dict[str, object]) -> OutputError:
        who = f"process {other['pid']} on {other['host']}" if {"pid", "host"} <= other.keys() else "another run"
        message = f"{who} is writing a copy there; run again when it has ended, or choose another output_dir"
        return OutputError(self.target.url, "", message)

    def _renew(self) -> bool:
        ours = (self._there() or {}).get("run") == self.run
        if ours:
            self.target.write(WRITER, self._text())
            if self._heart.stopped:  # meanwhile, and perhaps before what was written just now
                self._remove()
        return ours


@contextlib.contextmanager
def writing(target: Store) -> Iterator[Writer]:
    """Be the one that writes a copy to a place in a bucket, for as long as the block lasts."""
    writer = Writer(target)
    writer.begin()
    try:
        yield writer
    finally:
        writer.end()

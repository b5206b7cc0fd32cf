"""An object in a bucket as a file to read at random: parts of it, never the whole for the sake of one.

HDF5 reads two kinds of things. Its own small structures lie scattered: they come in blocks of 32 KiB,
which are kept (fsspec's block cache), also for when the same version is opened again. Arrays are large:
what is asked for at once, or announced with `prefetch`, is fetched as it is, many parts at a time, and
forgotten when it has been read.
"""

from __future__ import annotations

import io
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cachetools import LRUCache

from cellstrata.tasks.stores.requests import PARTS

BLOCK = 1 << 15
KEPT = 512  # blocks: 16 MiB
LARGE = 1 << 17  # from here on a read goes past the blocks
PART = 1 << 23  # the largest part fetched in one request
GAP = 1 << 13  # parts that are no farther apart are fetched as one
FILES = 8  # whose blocks are kept

_kept: LRUCache[str, object] = LRUCache(FILES)  # blocks, by the version of the file
_lock = threading.Lock()

Fetch = Callable[[int, int], bytes]


class RangeFile(io.RawIOBase):
    """Bytes of `size` that `fetch(start, end)` delivers; `blocks` makes a block cache over such a function.

    `version` names the object and what it holds, as its ETag does; empty where the store tells none.
    """

    def __init__(
        self, url: str, size: int, fetch: Fetch, blocks: Callable[[int, Fetch, int, int], Any], version: str = ""
    ) -> None:
        self.url, self.size, self._fetch = url, size, fetch
        self._blocks = _blocks_of(version, lambda: blocks(BLOCK, self._fetch_block, size, KEPT))
        self._ahead: tuple[int, bytes] = (0, b"")
        self._in_row = 0
        self._parts: dict[int, bytes] = {}
        self._starts: list[int] = []
        self._at = 0

    def __repr__(self) -> str:
        return self.url  # what h5py calls the file

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as `buffer` takes, fewer only at the end."""
        view = memoryview(buffer).cast("B")
        end = min(self._at + len(view), self.size)
        if end <= self._at:
            return 0
        data = self._bytes(self._at, end)
        view[: len(data)] = data
        self._at = end
        return len(data)

    def readall(self) -> bytes:
        """Read to the end in one go, not in the small pieces that io would."""
        return self.read(max(self.size - self._at, 0)) or b""

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch these parts (start, end), many at once, and keep them until the next call."""
        parts = list(_cut(_joined(ranges)))
        self._parts = dict(zip((start for start, _ in parts), self._fetch_all(parts), strict=True))
        self._starts = sorted(self._parts)

    def _bytes(self, start: int, end: int) -> bytes:
        found = self._prefetched(start, end)
        if found is not None:
            return found
        if end - start >= LARGE:
            return b"".join(self._fetch_all(list(_cut([(start, end)]))))
        data: bytes = self._blocks._fetch(start, end)
        return data

    def _prefetched(self, start: int, end: int) -> bytes | None:
        pieces, at = [], start
        while at < end:
            place = bisect_right(self._starts, at) - 1
            first = self._starts[place] if place >= 0 else end
            part = self._parts.get(first, b"")
            if not first <= at < first + len(part):
                return None
            pieces.append(part[at - first : end - first])
            at += len(pieces[-1])
        return b"".join(pieces)

    def _fetch_all(self, parts: list[tuple[int, int]]) -> list[bytes]:
        if len(parts) < 2:
            return [self._fetch(*part) for part in parts]
        with ThreadPoolExecutor(min(PARTS, len(parts))) as pool:
            return list(pool.map(lambda part: self._fetch(*part), parts))

    def _fetch_block(self, start: int, end: int) -> bytes:
        """Fetch a block, and of those after it an eighth of how many have been asked for in a row."""
        end = min(end, self.size)
        first, kept = self._ahead
        if first <= start and end <= first + len(kept):
            self._in_row += 1
            return kept[start - first : end - first]
        self._in_row = self._in_row + 1 if start == first + len(kept) else 0
        ahead = min(end + self._in_row // 8 * BLOCK, self.size)
        self._ahead = (start, self._fetch(start, ahead))
        return self._ahead[1][: end - start]


def _blocks_of(version: str, make: Callable[[], Any]) -> Any:
    """Return the blocks kept of this version of a file, or new ones."""
    if not version:
        return make()
    with _lock:
        if version not in _kept:
            _kept[version] = make()
        return _kept[version]


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    # not fsspec's merge_offset_ranges: that of fsspec 2025.3 loses the end of a range with another one inside
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1] + GAP:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif end > start:
            joined.append((start, end))
    return joined


def _cut(ranges: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    for start, end in ranges:
        for at in range(start, end, PART):
            yield at, min(at + PART, end)

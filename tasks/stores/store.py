"""The one module that talks to stores: everything else names places by URL and asks here.

A store is a folder on a local disk or a prefix in a bucket, reached through fsspec. Writing is
atomic for each object: locally by writing beside it and renaming, elsewhere because a single PUT is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.caching import BlockCache
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.zip import ZipFileSystem
from fsspec.spec import AbstractFileSystem

from cellstrata.tasks.stores.faults import ShortRead, StoreError
from cellstrata.tasks.stores.local_disk import create_file, remove_local, write_file
from cellstrata.tasks.stores.marks import TAGS
from cellstrata.tasks.stores.options import options_for, whole_url
from cellstrata.tasks.stores.ranges import RangeFile
from cellstrata.tasks.stores.retries import Retrying, insist
from cellstrata.tasks.stores.urls import StorageOptions as StorageOptions
from cellstrata.tasks.stores.urls import absolute as absolute
from cellstrata.tasks.stores.urls import is_local as is_local
from cellstrata.tasks.stores.urls import join as join
from cellstrata.tasks.stores.urls import local_path as local_path
from cellstrata.tasks.stores.urls import place_of
from cellstrata.tasks.stores.urls import protocol_of as protocol_of
from cellstrata.tasks.stores.urls import real as real

_INSIDE_ZIP = "zip://"  # followed by a folder within the zip file, `::` and the URL of the file


@dataclass(frozen=True)
class Store:
    """A folder or bucket prefix, and the options with which it is opened.

    Picklable, so that a worker process can open the same place. `options` are fsspec storage
    options of this protocol alone.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def at(cls, url: str, storage_options: StorageOptions | None = None) -> Store:
        """Make the store at `url`, taking its options from those given by protocol."""
        return cls(absolute(url), dict((storage_options or {}).get(protocol_of(url), {})))

    def __getstate__(self) -> tuple[str, Mapping[str, object]]:
        return self.url, self.options

    def __setstate__(self, state: tuple[str, Mapping[str, object]]) -> None:
        object.__setattr__(self, "url", state[0])
        object.__setattr__(self, "options", state[1])

    def __repr__(self) -> str:
        return f"Store({self.url!r})"  # options may hold secrets

    @cached_property
    def _opened(self) -> tuple[AbstractFileSystem, str]:
        if is_local(self.url):  # no URL: `::` in a file's name chains nothing
            return LocalFileSystem(**self.options), str(local_path(self.url))
        if self.url.startswith(_INSIDE_ZIP):
            return ZipFileSystem(fo=self._zip().open()), self.url.removeprefix(_INSIDE_ZIP).partition("::")[0]
        fs, root = self._file_system(asynchronous=False)
        return Retrying(fs, self.place), root.rstrip("/")

    def _file_system(self, *, asynchronous: bool) -> tuple[AbstractFileSystem, str]:
        more = {"asynchronous": True} if asynchronous else {}
        options = options_for(protocol_of(self.url), self.options)
        url = whole_url(self.url, self.options)
        fs, root = insist(self.place, lambda: fsspec.core.url_to_fs(url, **options, **more))
        return fs, root

    def _zip(self) -> Store:
        inner = self.url.partition("::")[2]
        return Store.at(inner, self.options)  # its options are by protocol

    @property
    def place(self) -> str:
        """The bucket or server, as messages and logs name it."""
        return place_of(self.url)

    @property
    def fs(self) -> AbstractFileSystem:
        """The fsspec file system; in a bucket, one that tries again."""
        return self._opened[0]

    def asynchronous(self) -> tuple[object, str]:
        """Return the file system for coroutines, as zarr uses it, and the path of this store within it."""
        if self.url.startswith(_INSIDE_ZIP):
            return AsyncFileSystemWrapper(self.fs, asynchronous=True), self.root
        fs, root = self._file_system(asynchronous=True)
        if not fs.async_impl:
            return AsyncFileSystemWrapper(fs, asynchronous=True), root.rstrip("/")
        return Retrying(fs, self.place), root.rstrip("/")

    @property
    def root(self) -> str:
        """The path of this store within its file system."""
        return self._opened[1]

    @cached_property
    def is_local(self) -> bool:
        """True on a local disk, where files can be renamed, linked and memory-mapped."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, key: str = "") -> str:
        """Return the path of `key` within the file system.

        Raises
        ------
        ValueError
            If it would lead out of the store: in a bucket, keys may be called anything.
        """
        if (".." in key and ".." in key.split("/")) or key.startswith("/") or "\0" in key:
            raise ValueError(f"{self.url}: a key called {key!r} leads out of it")
        rooted = self.root or self.is_local  # within a zip file no path begins with a slash
        return f"{self.root.rstrip('/')}/{key}" if key and rooted else key or self.root

    def exists(self, key: str = "") -> bool:
        """Tell whether `key` exists as a file or folder."""
        return os.path.lexists(self.path(key)) if self.is_local else self._type(key) is not None

    def _type(self, key: str) -> str | None:
        # Not fsspec's `exists` and `isfile`: those take every error for a no.
        try:
            return str(self.fs.info(self.path(key))["type"])
        except FileNotFoundError:
            return None

    def read(self, key: str) -> bytes:
        """Return the bytes of `key`.

        Raises
        ------
        FileNotFoundError
            If there is no such object.
        """
        if self.is_local:
            with open(self.path(key), "rb") as file:
                return file.read()
        data: bytes = self.fs.cat_file(self.path(key))
        return data

    def write(self, key: str, data: bytes | memoryview) -> None:
        """Write an object atomically, replacing an older one."""
        path = self.path(key)
        if not self.is_local:
            self.fs.pipe_file(path, bytes(data))
            return
        write_file(path, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object in one step if there is none; False if there is one.

        Raises
        ------
        Exception
            In a bucket what its store raises, also where there is one. On a local disk OSError, if it cannot be
            written or the disk knows no hard links.
        """
        path = self.path(key)
        if self.is_local:
            return create_file(path, data)
        self.fs.pipe_file(path, data, mode="create")
        return True

    def touch(self, key: str) -> None:
        """Set the time of an object to now, on a local disk; not more than once an hour, and never fails."""
        if self.is_local:
            path = self.path(key)
            with contextlib.suppress(OSError):
                if time.time() - os.stat(path).st_mtime > 3600:
                    os.utime(path)

    def list(self, key: str = "") -> list[str]:
        """Return the names directly under `key`, sorted; empty when there is nothing."""
        try:
            return sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in self.fs.ls(self.path(key), detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def is_file(self, key: str = "") -> bool:
        """Tell whether `key` is an object, and not a folder."""
        return os.path.isfile(self.path(key)) if self.is_local else self._type(key) == "file"

    def open(self, key: str = "", *, info: Mapping[str, Any] | None = None) -> IO[bytes]:
        """Open an object for reading, seekable. In a bucket no more is read than is asked for, in blocks.

        `info` is what the bucket has said of the object, if it has been asked already.

        Raises
        ------
        FileNotFoundError
            If there is no such object.
        """
        if self.is_local or isinstance(self.fs, ZipFileSystem):
            file: IO[bytes] = self.fs.open(self.path(key), "rb")
            return file
        path = self.path(key)
        if (info := self.fs.info(path) if info is None else info)["type"] == "directory":
            raise IsADirectoryError(path)
        if (size := info.get("size")) is None:
            raise StoreError(self.url, "its server does not tell its size", "download it, and give its path", True)
        tag = next((info[name] for name in TAGS if info.get(name)), "")
        return RangeFile(  # type: ignore[return-value]
            join(self.url, key) if key else self.url, size,
            lambda start, end: self.fs.cat_file(path, start=start, end=end),
            lambda block, fetch, whole, kept: BlockCache(block, fetch, whole, maxblocks=kept),
            f"{self.url} {path} {size} {tag}" if tag else "",
        )  # fmt: skip

    def walk(self, key: str = "") -> Iterator[str]:
        """Yield the keys of all objects under `key`, in no particular order; links are followed."""
        if self.is_local:
            for folder, _, names in os.walk(self.path(key), followlinks=True):
                for name in names:
                    yield os.path.relpath(os.path.join(folder, name), self.root).replace(os.sep, "/")
        else:
            below = len(self.fs._strip_protocol(self.root).strip("/"))
            for path in self.fs.find(self.path(key)):
                yield path.strip("/")[below:].lstrip("/")

    def copy_to(self, key: str, other: Store) -> int:
        """Copy one object to the same key of another store, in pieces; return its size in bytes."""
        source, target = self.path(key), other.path(key)
        if other.is_local:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if self.is_local:
                shutil.copyfile(source, target)
            else:
                insist(self.place, lambda: self._download(source, target))
            return os.stat(target).st_size
        if self.is_local:
            other.fs.put_file(source, target)
            return os.stat(source).st_size
        with self.open(key) as reader, other.fs.open(target, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 23)
        return int(other.fs.size(target))

    def _download(self, source: str, target: str) -> None:
        size = self.fs.info(source).get("size")
        self.fs.get_file(source, target)
        if size is not None and (got := os.stat(target).st_size) != size:
            raise ShortRead(f"{got} of {size} bytes")

    def remove(self, key: str = "") -> None:
        """Remove an object, or a folder with all that is in it; links are unlinked, never followed."""
        path = self.path(key)
        if self.is_local:
            remove_local(Path(path))
        elif self.exists(key):
            self.fs.rm(path, recursive=True)

    def remove_object(self, key: str) -> None:
        """Remove one object, in one request; nothing happens on a local disk where there is none."""
        if self.is_local:
            remove_local(Path(self.path(key)))
        else:
            self.fs.rm_file(self.path(key))

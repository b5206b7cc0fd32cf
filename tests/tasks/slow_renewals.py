"""Renewals of signs of life that are held up in the writing until what they stand for has ended."""

from __future__ import annotations

import threading

import pytest

from cellstrata.tasks.stores import heartbeat
from cellstrata.tasks.stores.store import Store


class HeldUp:
    """From `begin` on, what a heartbeat's thread writes waits for `let_go`, and nobody waits for the thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._there, self._free = threading.Event(), threading.Event()

    def begin(self) -> None:
        """Hold up what is written next, and return when a write waits."""
        write = Store.write

        def slow(store: Store, key: str, data: bytes) -> None:
            if threading.current_thread().name.startswith("cellstrata-"):
                self._there.set()
                assert self._free.wait(60)
            write(store, key, data)

        self._monkeypatch.setattr(heartbeat, "BEAT_WITHIN", 0.0)
        self._monkeypatch.setattr(Store, "write", slow)
        assert self._there.wait(60)

    def let_go(self, name: str) -> None:
        """Let it be written, and wait for the thread of a name to end."""
        threads = [thread for thread in threading.enumerate() if thread.name == name]
        assert threads
        self._free.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()

"""Arrays fetched once in a process: how often, how many are kept, and what is left on the disk."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellstrata.tasks.cache.local_copies import KEPT, fetched


def test_fetched_once_and_kept_on_a_disk_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run, asked = uuid.uuid4().hex, []

    def get(number: int) -> Any:
        def fetch() -> Any:
            asked.append(number)
            return np.full((3, 2), number, np.float32)

        return fetched(f"{run} {number}", fetch)

    for number in [*range(KEPT), 0, 1]:
        found = get(number)
        assert isinstance(found, np.memmap)
        assert (found == number).all()
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 9
    assert asked == list(range(KEPT))
    get(KEPT)  # 2 was used least recently
    get(0)
    get(2)
    assert asked == [*range(KEPT), KEPT, 2]
    assert os.listdir(tmp_path) == []


def test_without_room_it_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    found = fetched(uuid.uuid4().hex, lambda: np.arange(4))
    assert found.tolist() == [0, 1, 2, 3]

"""What a run remembers of entries: as many and as large as may be, those used last."""

from __future__ import annotations

import numpy as np

from cellstrata.tasks.cache.recent_entries import MOST, MOST_BYTES, Recent
from cellstrata.tasks.cache.record import Record


def sized(key: str, n_bytes: int) -> Record:
    """Return an entry with an array that takes no memory."""
    return Record("split", key, {}, {"labels": np.broadcast_to(np.uint8(0), n_bytes)})


def test_those_not_used_for_longest_go_first() -> None:
    recent, third = Recent(), MOST_BYTES // 3
    for key in "abc":
        recent.note(sized(key, third))
    assert recent.find("a") is not None
    recent.note(sized("d", third))
    assert [key for key in "abcd" if recent.find(key) is not None] == ["a", "c", "d"]
    recent.note(sized("a", 3 * third))  # the new one counts instead of the old
    assert [key for key in "abcd" if recent.find(key) is not None] == ["a"]


def test_one_that_is_too_large_is_not_kept_and_drives_out_none_but_its_elder() -> None:
    recent = Recent()
    recent.note(sized("a", 10))
    recent.note(sized("b", 10))
    recent.note(sized("a", MOST_BYTES + 1))
    assert recent.find("a") is None
    assert recent.find("b") is not None


def test_small_ones_are_counted() -> None:
    recent = Recent()
    for number in range(MOST + 10):
        recent.note(sized(str(number), 0))
    kept = [number for number in range(MOST + 10) if recent.find(str(number)) is not None]
    assert kept == list(range(kept[0], MOST + 10))
    assert MOST - 10 < len(kept) <= MOST

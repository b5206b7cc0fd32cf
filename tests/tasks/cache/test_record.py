"""Small arrays within the records that name them, and the entries that a run has seen."""

from __future__ import annotations

import base64
import json
import pickle
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.record import INLINE, ArrayRef, DamagedEntry, Record, parse_record, plain
from cellstrata.tasks.stores.store import Store
from tests.tasks.small import cache_at

KEY = "ab" * 16
TYPES = st.sampled_from([np.int32, np.int64, np.float32, np.float64])


def record_of(**arrays: np.ndarray[Any, Any]) -> Record:
    inline = {name: plain(array) for name, array in arrays.items()}
    return Record(
        "split", KEY, {"arrays": {name: ArrayRef.of(array).to_json() for name, array in inline.items()}}, inline
    )


@settings(max_examples=60, deadline=None)
@given(TYPES.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))))
def test_arrays_come_back_bit_by_bit(array: np.ndarray[Any, Any]) -> None:
    again = parse_record(record_of(labels=array).to_bytes(), KEY)
    assert again is not None
    found = again.inline["labels"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert again.apart() == {}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_altered_byte_is_believed(data: st.DataObject) -> None:
    record = record_of(labels=np.arange(40, dtype=np.int32), others=np.linspace(0, 1, 7, dtype=np.float32))
    raw = bytearray(record.to_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        found = parse_record(bytes(raw), KEY)
    except DamagedEntry:
        return
    if found is not None:  # what tells nothing: the kind, or a name
        for name, array in found.inline.items():
            assert ArrayRef.of(array) == record.array(name)


@pytest.mark.parametrize("inline", [{"nobody": ""}, {"labels": "%%%"}, {"labels": "AAAA"}, ["labels"], {"labels": 3}])
def test_impossible_arrays_are_damage(inline: Any) -> None:
    document = json.loads(record_of(labels=np.arange(3, dtype=np.int32)).to_bytes())
    document["inline"] = inline
    with pytest.raises(DamagedEntry):
        parse_record(json.dumps(document).encode(), KEY)


def test_large_arrays_lie_beside_the_record_and_small_ones_in_it(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    large, small = np.arange(INLINE // 4 + 1, dtype=np.int32), np.arange(INLINE // 4, dtype=np.int32)
    cache.write_record("split", KEY, {"n": 1}, {"large": large, "small": small})
    found = cache.find(KEY, "split")
    assert found is not None
    assert set(found.apart()) == {"large"}
    assert set(found.inline) == {"small"}
    for name, array in (("large", large), ("small", small)):
        np.testing.assert_array_equal(cache.array(found, name), array)
    assert not cache.has(found.array("small"))
    document = json.loads((tmp_path / f"v1/records/ab/{KEY}.json").read_text())
    assert base64.b64decode(document["inline"]["small"]) == small.tobytes()


class Counting:
    """How often each object of a bucket is asked for."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        read = Store.read

        def counted(of: Store, key: str) -> bytes:
            self.asked.append(key)
            return read(of, key)

        monkeypatch.setattr(Store, "read", counted)


def test_a_run_reads_an_entry_once_and_another_process_reads_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(Store.at(f"memory://{uuid.uuid4().hex}/cache"))
    keys = [f"{number:032x}" for number in range(20)]
    for key in keys[:10]:
        cache.write_record("split", key, {"n": key}, {"labels": np.arange(5, dtype=np.int32)})
    counting, of_run = Counting(cache.store, monkeypatch), cache.for_run()
    of_run.look_ahead(keys)
    assert len(counting.asked) == 20
    assert [of_run.find(key, "split") is not None for key in keys] == [True] * 10 + [False] * 10
    assert len(counting.asked) == 20
    of_run.find(keys[0], "split")
    assert len(counting.asked) == 20
    of_run.find(keys[10], "split")  # another run may have written it since
    assert len(counting.asked) == 21
    again: Cache = pickle.loads(pickle.dumps(of_run))
    assert again.find(keys[0], "split") == of_run.find(keys[0], "split")
    assert len(counting.asked) == 22


def test_what_a_run_has_written_it_does_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache = cache_at(tmp_path).for_run()
    counting = Counting(cache.store, monkeypatch)
    assert cache.find(KEY, "split") is None
    cache.write_record("split", KEY, {"n": 1})
    assert cache.find(KEY, "split") is not None
    assert len(counting.asked) == 1

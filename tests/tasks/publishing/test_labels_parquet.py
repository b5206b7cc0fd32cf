"""Whether a table of labels was written with a key: by its last bytes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cellstrata.tasks.publishing.labels_parquet import has_key, write_labels_parquet
from cellstrata.tasks.stores.places import Place
from tests.faulty_proxy import FaultyProxy

KEY, OTHER = "ab" * 16, "cd" * 16
N = 20_000
NAMES = np.array([f"c{i}" for i in range(N)], dtype=object)


def table(place: Place, columns: int, key: str = KEY) -> int:
    """Write a table of random labels; return its bytes."""
    rng = np.random.default_rng(0)
    labels = [str(n) for n in range(40)]
    obs = {
        f"leiden_{number}.0_1": pd.Categorical.from_codes(rng.integers(0, 40, N), labels) for number in range(columns)
    }
    return write_labels_parquet(place, NAMES, obs, key=key)


@pytest.mark.parametrize(("columns", "requests"), [(4, 1), (150, 1), (600, 2)])
def test_in_a_bucket_only_its_last_bytes_are_read(columns: int, requests: int, s3: str, proxy: FaultyProxy) -> None:
    place = Place(f"{s3}/labels.parquet")
    size = table(place, columns)
    assert size > 100_000
    for key, there in ((KEY, True), (OTHER, False)):
        proxy.reset()
        assert has_key(place, key) is there
        assert dict(proxy.traffic.requests) == {"HEAD": 1, "GET": requests}


def test_what_is_no_table_of_this_key(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "labels.parquet"))
    assert not has_key(place, KEY)
    for rubbish in (b"", b"PAR1", KEY.encode() * 9, b"PAR1" + KEY.encode() + b"\x20\0\0\0PAR1"):
        place.store.write("", rubbish)
        assert not has_key(place, KEY)
    obs = {"key": pd.Categorical([KEY])}  # in the data it counts for nothing
    write_labels_parquet(place, np.array(["c"], dtype=object), obs, key=OTHER)
    assert has_key(place, OTHER)
    assert not has_key(place, KEY)
    assert not has_key(place, OTHER[:8])
    write_labels_parquet(place, np.array(["c"], dtype=object), obs)
    assert not has_key(place, KEY)
    place.store.write("", (tmp_path / "labels.parquet").read_bytes()[:-1])
    assert not has_key(place, KEY)


def test_a_cell_without_a_name_is_refused(tmp_path: Path) -> None:
    place, labels = Place(str(tmp_path / "labels.parquet")), {"leiden_0.5_1": pd.Categorical(["0", "1"])}
    with pytest.raises(ValueError, match="without a name"):
        write_labels_parquet(place, np.array(["a", None], dtype=object), labels)
    assert not place.store.exists()

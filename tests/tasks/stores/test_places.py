"""A place as it is handed on: what it reaches others with is never shown."""

from __future__ import annotations

import pickle
from pathlib import Path

from cellstrata.tasks.stores.places import Place

OPTIONS = {"s3": {"key": "HUSH", "secret": "HUSH-TOO"}, "memory": {"token": "HUSH"}}


def test_a_place_shows_no_secret_and_reaches_others() -> None:
    place = Place("s3://lab/in.zarr/", OPTIONS)
    assert (place.url, str(place), place.is_local) == ("s3://lab/in.zarr", "s3://lab/in.zarr", False)
    other = place.at("memory://x/out.zarr").below("obs", "a")
    assert other.url == "memory://x/out.zarr/obs/a"
    assert dict(other.store.options) == OPTIONS["memory"]
    again = pickle.loads(pickle.dumps(other))
    assert again == other
    assert hash(again) == hash(other)
    assert dict(again.store.options) == OPTIONS["memory"]
    for each in (place, other, again, other.store):
        assert "HUSH" not in f"{each!r} {each}"


def test_a_local_place_is_absolute(tmp_path: Path) -> None:
    assert Place(f"file://{tmp_path}/x.zarr/") == Place(str(tmp_path / "x.zarr"))
    assert Place("x.zarr").url == str(Path("x.zarr").absolute())

"""Whether one place lies in another, whatever its path is written like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.tasks.stores.locations import Location, lies_in, overlap

# `a` and `ab` begin alike, `.` and `~` mean something elsewhere.
NAMES = st.sampled_from(["a", "ab", "b", "a b", "ä", ".hidden", "x.zarr", "x.zarr2"])
PATHS = st.lists(NAMES, max_size=4).map(tuple)
HEADS = st.sampled_from(["/nowhere", "file:///nowhere", "s3://lab", "gs://lab/deep", "https://host/data"])
SLASHES = st.sampled_from(["", "/", "//"])


def written(head: str, path: tuple[str, ...]) -> str:
    return "/".join([head, *path])


@given(HEADS, PATHS, PATHS, SLASHES, SLASHES)
def test_a_place_lies_in_another_if_its_parts_begin_with_the_others(
    head: str, one: tuple[str, ...], two: tuple[str, ...], end: str, other_end: str
) -> None:
    first, second = written(head, one) + end, written(head, two) + other_end
    within, holds = one[: len(two)] == two, two[: len(one)] == one
    assert lies_in(first, second) is within
    assert lies_in(second, first) is holds
    assert overlap(first, second) is overlap(second, first) is (within or holds)


@given(HEADS, PATHS)
def test_a_place_lies_in_itself_and_in_nothing_of_another_store(head: str, path: tuple[str, ...]) -> None:
    place = written(head, path)
    assert lies_in(place, place)
    assert not overlap(place, written("s3://elsewhere", path))
    assert not overlap(place, written("memory://lab", path))


@given(PATHS)
def test_a_path_with_its_protocol_is_the_same_place(path: tuple[str, ...]) -> None:
    assert Location.of(written("/nowhere", path)) == Location.of(written("file:///nowhere", path))
    assert lies_in(written("/nowhere", path), "/")
    assert overlap("/", written("/nowhere", path))


@given(PATHS, st.lists(st.sampled_from(["folder", "file"]), max_size=3))
def test_links_in_the_way_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str, ...], hops: list[str]
) -> None:
    top = tmp_path_factory.mktemp("links")
    (top / "real").mkdir()
    by = top / "real"
    for number, _ in enumerate(hops):
        link = top / f"hop{number}"
        link.symlink_to(by)
        by = link
    place, through = top.joinpath("real", *path), by.joinpath(*path)
    assert lies_in(str(through), str(top / "real"))
    assert lies_in(str(place), str(by))
    assert overlap(str(place), str(through))
    assert not overlap(str(through), str(top / "real2"))
    assert not overlap(str(through), str(top / "rea"))


def test_a_link_stands_where_it_is_and_where_it_leads(tmp_path: Path) -> None:
    for name in ("data/in.zarr", "out", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "out/result.zarr").symlink_to(tmp_path / "data/in.zarr")
    (tmp_path / "data/in.zarr/obs").symlink_to(tmp_path / "elsewhere")
    at = {name: str(tmp_path / name) for name in ("data/in.zarr", "out/result.zarr", "data/in.zarr/obs", "out", "data")}
    assert overlap(at["out/result.zarr"], at["data/in.zarr"])  # it leads there
    assert lies_in(at["out/result.zarr"], at["out"])  # it stands here
    assert lies_in(at["out/result.zarr"], at["data"])
    assert lies_in(at["data/in.zarr/obs"], at["data/in.zarr"])  # though it leads elsewhere
    assert not overlap(at["data"], at["out"])
    assert Location.of(at["out/result.zarr"]).stands == os.path.realpath(at["out"]) + "/result.zarr"


def test_paths_of_here_and_of_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert overlap("x.zarr", str(tmp_path / "x.zarr"))
    assert overlap("~/x.zarr/obs", "./a/../x.zarr")
    assert not overlap("~/x.zarr", "x.zarr2")
    assert lies_in("x", ".")

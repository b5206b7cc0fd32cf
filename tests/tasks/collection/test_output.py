"""Collected columns as parquet, CSV and zarr: every label kept, nothing written by halves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr

from cellstrata.tasks.collection.columns import collect_columns
from cellstrata.tasks.collection.output import write_collected
from cellstrata.tasks.elements.opening import open_anndata
from cellstrata.tasks.elements.ownership import is_ours
from cellstrata.tasks.elements.storage_nodes import encoding
from cellstrata.tasks.publishing.publish import OutputError, publish
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.no_warnings import no_warnings
from tests.tasks.everything import FORMATS, N, assert_kept, assert_same, load, save, saved, tree_hash
from tests.tasks.places import opened
from tests.tasks.small_results import NAMES, collected, filled, frame_of, labels, result, texts, write_slash


def refused_output(urls: list[str], output: str, **more: Any) -> str:
    with pytest.raises(OutputError) as error:
        write_collected(collect_columns([Place(url) for url in urls]), Place(output), **more)
    return str(error.value)


def test_every_kind_of_column_keeps_its_dtype(tmp_path: Path) -> None:
    for form in FORMATS:
        (tmp_path / form).mkdir()
    urls = [saved(tmp_path / form, form) for form in FORMATS]
    obs = load(urls[0]).obs
    with no_warnings(DeprecationWarning):
        found = collect_columns([Place(url) for url in urls])
    assert found.notices == ("some obs names occur twice: cells are told apart by their position",)
    assert list(found.names) == list(obs.index)
    assert list(found.columns) == list(obs.columns)
    assert set(found.found) == {tuple(obs.columns)}
    for name, values in found.columns.items():
        if name != "text":
            assert values.dtype == obs[name].dtype
        pd.testing.assert_series_equal(
            pd.Series(values, index=obs.index, name=name).astype(obs[name].dtype), obs[name], check_index=False
        )

    write_collected(found, Place(str(tmp_path / "out.zarr")))
    assert_kept(load(urls[0]), load(str(tmp_path / "out.zarr")), {"uns": ["clustering"]})

    write_collected(found, Place(str(tmp_path / "out.parquet")))
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert list(table.index) == list(obs.index)
    assert table.index.name == "obs_name"
    for name in obs.columns:
        if name not in ("text", "gaps", "numbers"):
            assert table[name].dtype == obs[name].dtype, name
        assert filled(table[name]) == filled(obs[name])
    assert list(table["code"].cat.categories) == ["1", "001", "01", "unused"]
    assert table["ordered"].cat.ordered

    write_collected(found, Place(str(tmp_path / "out.csv")))
    read = texts(tmp_path / "out.csv")
    assert list(read.index) == list(obs.index)
    assert list(read["code"]) == list(obs["code"])
    assert list(read["maybe_int"]) == ["", *map(str, range(N - 1))]
    assert list(read["numbers"]) == ["3", "1", "2"] * (N // 3)
    assert list(read["ordered"]) == ["lo", "", "hi"] * (N // 3)


@pytest.mark.parametrize("form", ["h5ad", "zarr2"])
def test_three_levels_as_one_result(tmp_path: Path, form: str) -> None:
    source = saved(tmp_path, form)
    urls = []
    for level in (1, 2, 3):
        column = {f"leiden_0.5_{level}": pd.Categorical(["_".join([f"{i % 3:02d}"] * level) for i in range(N)])}
        urls.append(str(tmp_path / f"level{level}.zarr"))
        own = {"publish_key": "k", "command": "cluster", "column": next(iter(column)), "configuration": "{}"}
        kept = {"obs_kept": ()} if level > 1 else {}
        publish(opened(source), Place(urls[-1]), obs=column, uns={"clustering": own}, **kept)
    out = str(tmp_path / "atlas.zarr")
    before = [tree_hash(url) for url in urls]
    found = collect_columns([Place(url) for url in urls])
    write_collected(found, Place(out))
    assert [tree_hash(url) for url in urls] == before
    names = [f"leiden_0.5_{level}" for level in (1, 2, 3)]
    new = load(out)
    assert_kept(load(source), new, {"obs": names, "uns": ["clustering"]})
    assert list(new.obs["leiden_0.5_3"]) == [f"{i % 3:02d}_{i % 3:02d}_{i % 3:02d}" for i in range(N)]
    assert is_ours(Place(out))
    record = new.uns["clustering"]
    assert set(record) == {"made_by", "command", "collected", "configuration"}
    assert record["command"] == "collect"
    assert json.loads(record["collected"]) == [
        {"result": urls[0], "columns": [*load(source).obs.columns, names[0]]},
        {"result": urls[1], "columns": [names[1]]},
        {"result": urls[2], "columns": [names[2]]},
    ]
    again = str(tmp_path / "again.zarr")
    write_collected(collect_columns([Place(url) for url in [out, urls[2]]]), Place(again))
    assert_kept(load(source), load(again), {"obs": names, "uns": ["clustering"]})


def test_a_table_keeps_every_label(tmp_path: Path) -> None:
    columns = {
        "labels": labels("001", "1", "1.0", 'say "é, ü"', "line\nbreak", None),
        "leiden_0.5_1": labels(*"001122"),
        "leiden_0.50_1": labels(*"001122"),
        "größe/μ": labels("NA", "", " x", "nan", "None", "a\rb"),
        "code": pd.Categorical([3, 1, 2, None, 1, 3]),
        "truth": pd.Categorical([True, False, True, None, True, True]),
        "share": pd.Categorical([0.5, 0.25, 0.5, None, 0.5, 0.5]),
        "obs_name": labels(*"uvwxyz"),
    }
    names = ["1", "01", "001", "1e5", 'é"', "a,b"]
    source = write_slash(tmp_path, columns, names)
    found = collected(source)
    assert list(found.columns) == list(columns)
    for output in ("out.parquet", "out.csv"):
        write_collected(found, Place(str(tmp_path / output)))
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert list(table.index) == names
    assert table.index.name == "obs_names"
    for name in ("labels", "leiden_0.5_1", "leiden_0.50_1", "größe/μ"):
        assert isinstance(table[name].dtype, pd.CategoricalDtype)
        assert list(table[name].cat.categories) == list(columns[name].categories)
        assert filled(table[name]) == filled(columns[name])
    assert filled(table["code"]) == [3, 1, 2, None, 1, 3]
    assert str(table["code"].dtype) == "Int64"
    assert str(table["truth"].dtype) == "boolean"
    data = (tmp_path / "out.csv").read_bytes()
    assert b"\r\n" not in data
    read = texts(tmp_path / "out.csv")
    assert list(read.index) == names
    assert read.index.name == "obs_names"
    assert list(read.columns) == list(columns)
    assert list(read["labels"]) == ["001", "1", "1.0", 'say "é, ü"', "line\nbreak", ""]
    assert list(read["größe/μ"]) == ["NA", "", " x", "nan", "None", "a\rb"]
    assert list(read["code"]) == ["3", "1", "2", "", "1", "3"]
    assert list(read["share"]) == ["0.5", "0.25", "0.5", "", "0.5", "0.5"]


def test_names_that_a_zarr_cannot_hold(tmp_path: Path) -> None:
    first = result(tmp_path, "first", {"x": labels(*"abcdef")})
    slash = write_slash(tmp_path, {"a/b": labels(*"abcdef"), "..": labels(*"abcdef")}, NAMES)
    out = str(tmp_path / "out.zarr")
    said = refused_output([first, slash], out)
    assert "'a/b', '..'" in said
    assert ".parquet" in said
    below = result(tmp_path, "below", {"a": labels(*"abcdef")})
    assert "'a'" in refused_output([slash, below], out)
    assert not os.path.exists(out)
    urls = [first, slash]
    write_collected(collect_columns([Place(url) for url in urls]), Place(str(tmp_path / "out.csv")))
    assert list(pd.read_csv(tmp_path / "out.csv").columns) == ["obs_name", "x", "a/b", ".."]


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_a_column_that_is_called_as_the_index(tmp_path: Path, form: str) -> None:
    obs = frame_of({"x": labels(*"abcdef")}).rename_axis("barcode")
    first = save(ad.AnnData(obs=obs), tmp_path, form, "first")
    urls = [
        first,
        result(tmp_path, "same", {"barcode": labels(*NAMES), "y": labels(*"abcdef")}),
        result(tmp_path, "other", {"barcode": labels(*"abcdef")}),
    ]
    found = collect_columns([Place(url) for url in urls])
    assert found.index == "barcode"
    assert list(found.columns) == ["x", "y", "barcode@other"]
    for output in ("out.zarr", "out.csv", "out.parquet"):
        write_collected(found, Place(str(tmp_path / output)))
    frames = [
        load(str(tmp_path / "out.zarr")).obs,
        pd.read_parquet(tmp_path / "out.parquet"),
        pd.read_csv(tmp_path / "out.csv", index_col=0),
    ]
    assert [frame.index.name for frame in frames] == ["barcode", "obs_name", "obs_name"]
    for frame in frames:
        assert list(frame.columns) == list(found.columns)
        assert list(frame.index) == NAMES


def test_every_dtype_is_added_to_a_result(tmp_path: Path) -> None:
    columns = {
        "code": labels("001", "01", "001", "1", None, "1", categories=["unused", "1", "01", "001"], ordered=True),
        "text": pd.array([f"ü{i}" for i in range(6)], dtype=object),
        "words": [f"ü{i}" for i in range(6)],
        "gaps": pd.array(["a", None, "b", "c", "d", "e"], dtype="string"),
        "maybe": pd.array([True, None] * 3, dtype="boolean"),
        "count": pd.array([1, None] * 3, dtype="UInt8"),
        "half": np.arange(6, dtype=np.float16),
        "flag": np.array([True, False] * 3),
        "double": np.array([0.1, np.nan] * 3),
        "größe": pd.Categorical([3, None] * 3),
    }
    for form in FORMATS:
        first = result(tmp_path, "first", {"x": labels(*"abcdef")}, form=form)
        second = result(tmp_path, "second", columns, form=form)
        out = str(tmp_path / f"{form}.zarr")
        write_collected(collected(first, second), Place(out))
        new = load(out).obs
        assert_same(load(first).obs.assign(**load(second).obs), new)
        with open_anndata(Place(out)) as root, open_anndata(Place(second)) as before:
            for name in columns:
                assert encoding(root["obs"][name]) == encoding(before["obs"][name])


def test_an_output_that_is_in_the_way(tmp_path: Path) -> None:
    source = saved(tmp_path, "zarr2")
    first = str(tmp_path / "first.zarr")
    publish(opened(source), Place(first))
    (tmp_path / "there.parquet").write_text("old")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "alias.zarr").symlink_to("first.zarr")
    foreign = result(tmp_path, "foreign", {"x": labels(*"abcdef")}, form="zarr2")
    before = tree_hash(foreign)
    assert "--overwrite" in refused_output([first], str(tmp_path / "there.parquet"))
    assert "left alone" in refused_output([first], str(tmp_path / "folder.csv"), overwrite=True)
    assert "not made by cellstrata" in refused_output([first], foreign)
    assert "not made by cellstrata" in refused_output([first], foreign, overwrite=True)
    assert tree_hash(foreign) == before
    for output in ("first.zarr", "alias.zarr", "first.zarr/labels.csv", "alias.zarr/obs/a.zarr"):
        assert "is collected" in refused_output([source, first], str(tmp_path / output), overwrite=True)
    for name in ("out", "out.txt", "out.h5ad", "out.csv.gz"):
        said = refused_output([first], str(tmp_path / name))
        assert all(suffix in said for suffix in (".parquet", ".csv", ".zarr"))
    assert (tmp_path / "there.parquet").read_text() == "old"
    found = collected(first)
    for output in ("there.parquet", "out.csv", "out.zarr", "out.zarr", "out.csv"):
        write_collected(found, Place(str(tmp_path / output)), overwrite=True)
    assert "--overwrite" in refused_output([first], str(tmp_path / "out.zarr"))
    (tmp_path / "empty.zarr").mkdir()
    write_collected(found, Place(str(tmp_path / "empty.zarr")))
    assert is_ours(Place(str(tmp_path / "empty.zarr")))


@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out.zarr"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    first = str(tmp_path / "first.zarr")
    publish(opened(saved(tmp_path, "zarr2")), Place(first))
    urls, out = [first], str(tmp_path / "o" / output)
    found = collect_columns([Place(url) for url in urls])
    write_collected(found, Place(out))
    before = tree_hash(out)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        patch.setattr(zarr, "consolidate_metadata", full)
        with pytest.raises(OSError, match="space"):
            write_collected(found, Place(out), overwrite=True)
    assert tree_hash(out) == before
    assert os.listdir(tmp_path / "o") == [output]


def test_in_a_bucket(tmp_path: Path) -> None:
    source, bucket = saved(tmp_path, "zarr2"), f"memory://{tmp_path.name}"
    column = {"leiden_0.5_1": pd.Categorical([str(i % 3) for i in range(N)])}
    first, second = f"{bucket}/first.zarr", f"{bucket}/second.zarr"
    publish(opened(source), Place(first))
    publish(opened(source), Place(second), obs=column, obs_kept=())
    for output in ("out.parquet", "out.csv", "deep/out.zarr"):
        urls, url = [first, second], f"{bucket}/{output}"
        write_collected(collect_columns([Place(url) for url in urls]), Place(url))
        assert "--overwrite" in refused_output(urls, url)
    frame = pd.read_parquet(f"{bucket}/out.parquet")
    assert list(frame["leiden_0.5_1"]) == list(column["leiden_0.5_1"])
    assert len(pd.read_csv(f"{bucket}/out.csv")) == N
    assert list(collected(f"{bucket}/deep/out.zarr").columns) == list(frame.columns)
    assert "is collected" in refused_output([first], f"{first}/x.csv")
    assert not any(".part" in name for name in Store.at(bucket).walk())


def test_no_cells_and_no_columns(tmp_path: Path) -> None:
    empty = result(tmp_path, "empty", {"x": labels()}, [])
    bare = result(tmp_path, "bare", {})
    for source, shape in ((empty, (0, 1)), (bare, (6, 0))):
        for output in ("out.parquet", "out.csv", "out.zarr"):
            write_collected(collected(source, source), Place(str(tmp_path / output)), overwrite=True)
        assert pd.read_parquet(tmp_path / "out.parquet").shape == shape
        assert pd.read_csv(tmp_path / "out.csv", index_col=0).shape == shape
        assert load(str(tmp_path / "out.zarr")).obs.shape == shape


def test_a_tsv_is_parted_by_tabs(tmp_path: Path) -> None:
    source = result(tmp_path, "one", {"leiden_0.5_1": labels("0", "1", "0", None, "a,b", "c\td")})
    write_collected(collected(source), Place(str(tmp_path / "out.tsv")))
    read = pd.read_csv(tmp_path / "out.tsv", sep="\t", dtype=str, index_col=0)
    assert filled(read["leiden_0.5_1"]) == ["0", "1", "0", None, "a,b", "c\td"]
    assert list(read.index) == NAMES
    assert (tmp_path / "out.tsv").read_text().startswith("obs_name\tleiden_0.5_1\ncell0\t0\n")

"""Collecting columns: cells by name, values untouched, no cell lost and none multiplied."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.tasks.collection.columns import collect_columns
from cellstrata.tasks.collection.output import write_collected
from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.results.names import result_names
from cellstrata.tasks.stores.places import Place
from tests.tasks.everything import load, saved
from tests.tasks.places import opened
from tests.tasks.small_results import NAMES, collected, labels, result, texts


def refused(*urls: str) -> str:
    with pytest.raises(InputError) as error:
        collect_columns([Place(url) for url in list(urls)])
    return str(error.value)


def test_only_obs_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(tmp_path, "h5ad")
    read: set[str] = set()
    get = h5py.Dataset.__getitem__

    def watched(self: Any, key: Any, *more: Any, **options: Any) -> Any:
        read.add(str(self.name).split("/")[1])
        return get(self, key, *more, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    found = collect_columns([Place(url) for url in [source]])
    write_collected(found, Place(str(tmp_path / "out.parquet")))
    write_collected(found, Place(str(tmp_path / "out.csv")))
    assert read == {"obs"}


def test_results_of_the_ancestor(tmp_path: Path) -> None:
    """A plain zarr of format 2: one column in obs of its own, all else links, here to what is gone."""
    urls = []
    for level in (1, 2):
        columns = {f"leiden_1.0_{level}": labels(*("0_0"[: 2 * level - 1],) * 5, "1_0"[: 2 * level - 1])}
        urls.append(result(tmp_path, f"level{level}", columns, form="zarr2"))
        for slot in ("layers", "obsm", "uns", "var", "X"):
            shutil.rmtree(Path(urls[-1]) / slot, ignore_errors=True)
            (Path(urls[-1]) / slot).symlink_to(f"../gone.zarr/{slot}")
    found = collect_columns([Place(url) for url in urls])  # so X, layers and obsm are not read, nor can they be
    for output in ("labels.parquet", "labels.csv"):
        write_collected(found, Place(str(tmp_path / output)))
    table = pd.read_parquet(tmp_path / "labels.parquet")
    assert table.loc["cell5"].tolist() == ["1", "1_0"]
    assert list(table.columns) == ["leiden_1.0_1", "leiden_1.0_2"]
    with pytest.raises(InputError, match="gone"):
        write_collected(found, Place(str(tmp_path / "atlas.zarr")))
    assert not (tmp_path / "atlas.zarr").exists()


def test_c13_duplicate_names_neither_multiply_cells_nor_stop(tmp_path: Path) -> None:
    names = ["a", "b", "b", "b", "c", "c"]
    first = result(tmp_path, "first", {"l1": labels("0", "0", "1", "1", "2", "2")}, names)
    second = result(tmp_path, "second", {"l2": labels("x", "y", "z", "x", "y", "z")}, names)
    plain = pd.merge(load(first).obs, load(second).obs, left_index=True, right_index=True)
    assert len(plain) == 14  # what merging by name makes of 6 cells
    found = collected(first, second)
    assert list(found.names) == names
    assert list(found.columns["l1"]) == ["0", "0", "1", "1", "2", "2"]
    assert list(found.columns["l2"]) == ["x", "y", "z", "x", "y", "z"]
    assert "position" in found.notices[0]
    write_collected(found, Place(str(tmp_path / "out.csv")))
    assert len(pd.read_csv(tmp_path / "out.csv")) == 6


def test_duplicate_names_in_another_order_are_refused(tmp_path: Path) -> None:
    first = result(tmp_path, "first", {"x": labels(*"abcdef")}, ["a", "b", "b", "c", "d", "e"])
    second = result(tmp_path, "second", {"y": labels(*"abcdef")}, ["b", "a", "b", "c", "d", "e"])
    said = refused(first, second)
    assert said.startswith(f"{second}: has the cells of {first} in another order")
    assert "2 of them are called 'b'" in said
    assert "obs_names_make_unique" in said


def test_cells_in_another_order_are_matched_by_name(tmp_path: Path) -> None:
    first = result(tmp_path, "first", {"x": labels(*"abcdef")})
    order = [5, 3, 1, 0, 2, 4]
    moved = {
        "x": labels(*(list("abcdef")[i] for i in order)),
        "number": np.array(order, np.int8),
        "gaps": pd.array([None if i == 3 else i for i in order], dtype="Int16"),
    }
    found = collected(first, result(tmp_path, "second", moved, [NAMES[i] for i in order]))
    assert list(found.columns) == ["x", "number", "gaps"]
    assert found.columns["number"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.columns["number"].dtype == np.int8
    assert list(found.columns["gaps"]) == [0, 1, 2, pd.NA, 4, 5]
    assert "another order" in found.notices[0]


def test_other_cells_are_refused_with_their_counts(tmp_path: Path) -> None:
    first = result(tmp_path, "first", {"x": labels(*"abcdef")})
    fewer = result(tmp_path, "fewer", {"y": labels(*"abcd")}, NAMES[:4])
    other = result(tmp_path, "other", {"z": labels(*"abcdefg")}, [*NAMES[1:], "new1", "new2"])
    twice = result(tmp_path, "twice", {"z": labels(*"abcdef")}, [*NAMES[:5], "cell4"])
    (tmp_path / "text.h5ad").write_text("no")
    said = refused(first, fewer, other, twice, str(tmp_path / "text.h5ad"), str(tmp_path / "absent.zarr")).splitlines()
    assert said[0].startswith(f"{fewer}: has 4 cells, and {first} has 6: 0 only here; 2 only there, such as 'cell4';")
    assert "has 7 cells" in said[1]
    assert "2 only here, such as 'new1'; 1 only there, such as 'cell0'" in said[1]
    assert "1 only here, such as 'cell4'; 1 only there, such as 'cell5'" in said[2]
    assert said[3].startswith(str(tmp_path / "text.h5ad"))
    assert said[4].startswith(f"{tmp_path}/absent.zarr: there is no such file")
    assert len(refused(first, *[fewer] * 30).splitlines()) <= 9


def test_columns_of_one_name_with_other_values_are_all_kept(tmp_path: Path) -> None:
    folders = [tmp_path / "dataset~lung", tmp_path / "dataset~skin"]
    for folder in folders:
        folder.mkdir()
    a = result(tmp_path, "a", {"x": labels(*"abcdef"), "same": labels(*"aabbcc")})
    b = result(folders[0], "file_id~core", {"x": labels(*"aaaaaa"), "same": labels(*"aabbcc")}, form="zarr2")
    c = result(folders[1], "file_id~core", {"x": labels(*"bbbbbb")}, form="zarr2")
    d = result(tmp_path, "d", {"x": labels(*"aaaaaa")})
    found = collected(a, b, c, d, a)
    assert list(found.columns) == ["x", "same", "x@lung-core", "x@skin-core"]
    assert found.found == (("x", "same"), ("x@lung-core", "same"), ("x@skin-core",), ("x@lung-core",), ("x", "same"))
    assert found.notices == tuple(
        f"{url}: other values than before under the same name, kept as {name}"
        for url, name in ((b, "x@lung-core"), (c, "x@skin-core"))
    )
    taken = result(tmp_path, "taken", {"x": labels(*"abcdef"), "x@d": labels(*"ffffff")})
    assert list(collected(taken, d).columns) == ["x", "x@d", "x@d_2"]
    assert list(collected(d, taken).columns) == ["x", "x@taken", "x@d"]
    out = str(tmp_path / "out.zarr")
    write_collected(found, Place(out))
    assert list(load(out).obs.columns) == list(found.columns)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (labels(*"aabbcc"), labels(*"aabbcc", categories=["z", *"cba"], ordered=True), True),
        (labels(*"aabbc", None), labels(*"aabbc", None, categories=list("cab")), True),
        (labels(*"aabbcc"), list("aabbcc"), True),
        (labels(*"aabbcc"), labels(*"aabbc", None), False),
        (labels(*"112233"), np.array([1, 1, 2, 2, 3, 3]), False),
        (labels("1", "1", "01", "01", "2", "2"), labels("1", "1", "1", "1", "2", "2"), False),
        (labels("1", "2", "3", "1", "2", "3"), labels("1.0", "2.0", "3.0", "1.0", "2.0", "3.0"), False),
        (np.array([1, 0, 1, 0, 1, 0]), np.array([True, False] * 3), False),
        (np.array([1, 0, 1, 0, 1, 0], np.int8), np.array([1, 0, 1, 0, 1, 0], np.uint64), True),
        (np.array([1, 0, 1, 0, 1, 0], np.int8), pd.array([1, 0, 1, 0, 1, 0], dtype="Int64"), True),
        (np.array([1, 0, 1, 0, 1, 0], np.int8), np.array([1, 0, 1, 0, 1, 0], np.float64), False),
        (np.array([1, 0, np.nan, 0, 1, 0]), pd.Categorical([1.0, 0.0, None, 0.0, 1.0, 0.0]), True),
        (np.array([1, 0, np.nan, 0, 1, 0]), np.array([1, 0, np.nan, 0, 1, 0], np.float16), True),
        (pd.array([True, None] * 3, dtype="boolean"), pd.array([True, False] * 3, dtype="boolean"), False),
        (np.array([0.1] * 6), np.array([0.1] * 6, np.float32), False),
        (labels(*[None] * 6), np.array([np.nan] * 6), True),
    ],
)
def test_what_counts_as_the_same(tmp_path: Path, one: Any, other: Any, same: bool) -> None:
    urls = [result(tmp_path, "one", {"x": one}), result(tmp_path, "other", {"x": other})]
    found = collect_columns([Place(url) for url in urls])
    assert list(found.columns) == (["x"] if same else ["x", "x@other"])
    assert found.columns["x"].dtype == collected(urls[0]).columns["x"].dtype
    assert list(collect_columns([Place(url) for url in urls[::-1]]).columns) == (["x"] if same else ["x", "x@one"])


def test_names_of_results() -> None:
    assert result_names(["out/dataset~D/file_id~F.zarr", "/x/a.b.zarr.zip", "s3://bucket/c.h5ad"]) == ["F", "a.b", "c"]
    assert result_names(["/x/1/a.zarr", "/x/2/a.zarr", "/x/2/b.zarr", "/x/1/a.zarr/"]) == ["1-a", "2-a", "b", "1-a"]
    assert result_names(["/x/1/k/a.zarr", "/x/2/k/a.zarr", "/k/a.zarr"]) == ["1-k-a", "2-k-a", "k-a"]
    assert result_names(["s3://b/a.zarr", "gs://b/a.zarr", "/q/a-2.zarr"]) == ["b-a", "b-a-2", "a-2"]
    assert result_names(["/p/.zarr", "/p/~x.zarr", "/p/k~.zarr"]) == [".zarr", "~x", "k~"]


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    urls = [result(tmp_path, name, {"x": labels(*"abcdef"), "y": list("abcdef")}) for name in ("a", "b", "c")]
    gone = result(tmp_path, "gone", {"x": labels(*"abcdef")}, form="zarr2")
    shutil.rmtree(Path(gone) / "obs" / "x")
    (Path(gone) / "obs" / "x").symlink_to("../../nothing.zarr/obs/x")
    with h5py.File(urls[0], "r+") as file:
        file["obs/y"].attrs["encoding-type"] = "of-tomorrow"
    with h5py.File(urls[1], "r+") as file:
        del file["obs/y"]
        file["obs/y"] = np.arange(4)
    with h5py.File(urls[2], "r+") as file:
        del file["obs"].attrs["_index"]
    said = refused(*urls, gone, "nowhere://x.zarr").splitlines()
    assert len(said) == 5
    for line, place in zip(said, ("y", "y", "obs: cannot", "x", "nowhere"), strict=True):
        assert place in line
    assert said[0].startswith(f"{urls[0]}: obs['y']: cannot be read")
    assert "4 values for 6 cells" in said[1]
    with pytest.raises(ValueError, match="nothing"):
        collect_columns([Place(url) for url in []])


def test_old_files(tmp_path: Path) -> None:
    """The 700 cells that come with scanpy are of the old form, with categories beside the codes."""
    spec = importlib.util.find_spec("scanpy")
    assert spec is not None
    old = str(Path(str(spec.origin)).parent / "datasets" / "10x_pbmc68k_reduced.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obs = ad.read_h5ad(old).obs
    found = collected(old)
    assert list(found.columns) == list(obs.columns)
    for name, values in found.columns.items():
        assert values.dtype == obs[name].dtype
    level = str(tmp_path / "level.zarr")
    publish(opened(old), Place(level), obs={"leiden_1.0_1": pd.Categorical(obs["louvain"].astype(str))}, obs_kept=())
    write_collected(collected(old, level), Place(str(tmp_path / "out.zarr")))
    assert list(load(str(tmp_path / "out.zarr")).obs.columns) == [*obs.columns, "leiden_1.0_1"]


KINDS = {
    "labels": st.sampled_from(["001", "01", "1", "1.0", "é", None]),
    "words": st.sampled_from(["NA", "x,y", "001"]),
    "number": st.sampled_from([0.1, 1.0, float("nan")]),
    "whole": st.sampled_from([1, 2, None]),
    "truth": st.booleans(),
}


def column_of(kind: str, values: list[Any]) -> Any:
    if kind == "labels":
        return pd.Categorical(values, categories=["unused", "é", "1.0", "001", "01", "1"])
    if kind == "whole":
        return pd.array(values, dtype="Int32")
    return values if kind == "words" else np.array(values, dtype=bool if kind == "truth" else float)


@st.composite
def some_results(draw: st.DrawFn) -> tuple[list[str], list[tuple[list[int], dict[str, tuple[str, list[Any]]]]]]:
    """Draw cell names, and for each result the order of the cells and columns: name to kind and values by cell."""
    names = draw(st.lists(st.text("ab01,é ", min_size=1, max_size=3), min_size=1, max_size=6, unique=True))
    results = []
    for _ in range(draw(st.integers(1, 3))):
        kinds = draw(st.dictionaries(st.sampled_from(["p", "q", "r"]), st.sampled_from(sorted(KINDS)), max_size=3))
        n = len(names)
        columns = {name: (kind, draw(st.lists(KINDS[kind], min_size=n, max_size=n))) for name, kind in kinds.items()}
        results.append((draw(st.permutations(range(n))), columns))
    return names, results


@settings(max_examples=30, deadline=None)
@given(some_results())
def test_each_cell_gets_just_what_each_result_says(drawn: Any) -> None:
    names, results = drawn
    with tempfile.TemporaryDirectory() as folder:
        urls = []
        for number, (order, columns) in enumerate(results):
            made = {name: column_of(kind, [values[i] for i in order]) for name, (kind, values) in columns.items()}
            urls.append(result(Path(folder), f"r{number}", made, [names[i] for i in order]))
        found = collect_columns([Place(url) for url in urls])
        write_collected(found, Place(f"{folder}/out.csv"))
        write_collected(found, Place(f"{folder}/out.parquet"))
        text = texts(f"{folder}/out.csv")
        table = pd.read_parquet(f"{folder}/out.parquet")
    at = {name: row for row, name in enumerate(found.names)}
    assert sorted(found.names) == sorted(names)
    assert list(text.index) == list(table.index) == list(found.names)
    for (_, columns), there in zip(results, found.found, strict=True):
        assert len(there) == len(columns)
        for name, (_, values) in zip(there, columns.values(), strict=True):
            for cell, value in enumerate(values):
                row = at[names[cell]]
                missing = value is None or value != value
                for got in (found.columns[name][row], table[name].iloc[row]):
                    assert pd.isna(got) if missing else got == value
                assert text[name].iloc[row] == ("" if missing else str(value))

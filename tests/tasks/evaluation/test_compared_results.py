"""Columns of real files compared: h5ad, zarr and parquet, one file and two, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cellstrata.tasks.evaluation.compared_results import ComparedResults, compare_columns, compare_results
from cellstrata.tasks.publishing.labels_parquet import write_labels_parquet
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place
from tests.tasks.small_results import NAMES, labels, result

TYPES = ["B", "B", "T", "T", None, "NK"]
COLUMNS = {
    "leiden_0.5_1": labels("0", "0", "1", "1", "1", None),
    "leiden_0.5_2": labels("0_0", "0_1", "1_0", "1_0", "1_1", None),
    "type": labels(*TYPES),
    "batch, run": np.array([1, 1, 2, 2, 2, 2]),
    "sick": np.array([True, False, True, False, True, False]),
    "whole": np.array([10.0, 10.0, 2.0, 2.0, np.nan, 2.0]),
    "depth": np.array([0.5, 1.5, 2.5, 3.5, 4.5, 5.5]),
}


def table(folder: Path, columns: dict[str, object], names: list[str] = NAMES, file: str = "labels.parquet") -> str:
    write_labels_parquet(Place(str(folder / file)), np.array(names, dtype=object), columns)
    return str(folder / file)


def refused(*places: str, columns: tuple[str, ...] = ()) -> str:
    with pytest.raises(InputError) as error:
        compared(*places, columns=columns)
    return str(error.value)


def compared(*places: str, columns: tuple[str, ...] = ()) -> ComparedResults:
    if len(places) == 1:
        return compare_columns(Place(places[0]), columns, with_names=True)
    return compare_results(Place(places[0]), Place(places[1]), columns, called=("old", "new"), with_names=True)


@pytest.mark.parametrize("form", ["h5ad", "zarr2", "zarr3", "parquet"])
def test_columns_of_one_file_in_every_form(form: str, tmp_path: Path) -> None:
    path = table(tmp_path, COLUMNS) if form == "parquet" else result(tmp_path, "r", COLUMNS, form=form)
    found = compared(path, columns=("leiden_0.5_1,type",))
    (pair,) = found.pairs
    assert (pair.first.title, pair.second.title, pair.first.url) == ("leiden_0.5_1", "type", path)
    one = pair.comparison
    assert one.first.labels == ("0", "1")
    assert one.second.labels == ("B", "NK", "T")
    assert one.table.n_cells == 4
    assert (one.left_out.only_first, one.left_out.only_second, one.left_out.both) == (1, 1, 0)
    assert one.similarity == 1
    assert found.names is not None
    assert found.names.tolist() == NAMES
    assert found.cells is None


def test_every_two_columns_of_all_kinds(tmp_path: Path) -> None:
    path = result(tmp_path, "r", COLUMNS)
    found = compared(path, columns=("leiden_0.5_2", "batch, run", "sick", "whole"))
    titles = [(pair.first.title, pair.second.title) for pair in found.pairs]
    assert titles[:3] == [("leiden_0.5_2", "batch, run"), ("leiden_0.5_2", "sick"), ("leiden_0.5_2", "whole")]
    assert len(titles) == 6
    labels = {pair.second.column: pair.comparison.second.labels for pair in found.pairs[:3]}
    assert labels == {"batch, run": ("1", "2"), "sick": ("False", "True"), "whole": ("2", "10")}


def test_two_results_are_compared_by_the_names_that_both_have(tmp_path: Path) -> None:
    old = result(tmp_path, "old", COLUMNS)
    order = [5, 3, 1, 0]
    names = [NAMES[i] for i in order] + ["new cell"]
    labels_there = labels("7", "4", "9", "9", "9")
    new = table(tmp_path, {"leiden_0.5_1": labels_there, "leiden_1.0_1": labels_there}, names)
    found = compared(old, new)
    (pair,) = found.pairs
    assert (pair.first.title, pair.second.title) == ("leiden_0.5_1 of old", "leiden_0.5_1 of new")
    assert found.cells is not None
    assert (found.cells.shared, found.cells.only_first, found.cells.only_second) == (4, 2, 1)
    assert found.names is not None
    assert found.names.tolist() == ["cell0", "cell1", "cell3", "cell5"]
    one = pair.comparison
    assert one.table.n_cells == 3
    pairs = zip(one.table.rows, one.table.columns, one.table.counts, strict=True)
    assert [(one.first.labels[a], one.second.labels[b], n) for a, b, n in pairs] == [("0", "9", 2), ("1", "4", 1)]
    assert (one.left_out.only_first, one.left_out.both) == (1, 0)

    (pair,) = compared(old, new, columns=("type", "leiden_1.0_1")).pairs
    assert (pair.first.column, pair.second.column) == ("type", "leiden_1.0_1")


def test_what_is_wrong_is_told_with_file_key_and_fix(tmp_path: Path) -> None:
    path = result(tmp_path, "r", COLUMNS)
    other = result(tmp_path, "other", COLUMNS, [f"x{i}" for i in range(6)])
    twice = result(tmp_path, "twice", COLUMNS, ["a", "a", "b", "c", "d", "e"])
    assert "name two columns to compare" in refused(path)
    assert "name two columns to compare" in refused(path, columns=("type", "type"))
    said = refused(path, columns=("leiden_0.5_3", "depth"))
    assert f"{path}: column 'leiden_0.5_3': there is no such column; did you mean `leiden_0.5_" in said
    assert f"{path}: column 'depth': holds numbers that are not whole" in said
    said = refused(path, other)
    assert said == f"{path}: obs: shares no cell with {other}, as 'cell0' and 'x0'; give results of the same cells, " \
        "by the same names"  # fmt: skip
    for places in ((path, twice), (twice, path), (twice, twice)):
        assert f"{twice}: obs: 1 cells have the name of another, such as 'a'" in refused(*places)
    assert "one column is compared, or one of each" in refused(path, other, columns=("type", "sick", "whole"))
    plain = table(tmp_path, {"group": labels(*"aabbcc")})
    assert "share no column of clusters (they share no column)" in refused(path, plain)
    said = refused(str(tmp_path / "none.h5ad"), str(tmp_path / "none.parquet"))
    assert said.count("there is no such file; check the path") == 2
    empty = result(tmp_path, "empty", {"a": labels("x", None), "b": labels(None, "y")}, ["c", "d"])
    assert "no cell has a value in 'a' and in 'b' too" in refused(empty, columns=("a", "b"))
    nameless = str(tmp_path / "nameless.parquet")
    pd.DataFrame({"leiden_0.5_1": ["0"] * 6}).to_parquet(nameless)
    assert f"{nameless}: does not name its cells" in refused(path, nameless)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    assert "broken.parquet: cannot be read" in refused(str(tmp_path / "broken.parquet"), columns=("a", "b"))
    many = {f"c{i}": labels(*"aabbcc") for i in range(7)}
    assert "7 columns are too many pairs" in refused(result(tmp_path, "many", many), columns=tuple(many))


def test_a_column_of_a_value_for_each_cell_is_none_of_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellstrata.tasks.evaluation.cell_tables.MOST_GROUPS", 5)
    path = result(tmp_path, "r", {"barcode": labels(*NAMES), "a": labels(*"aabbcc")})
    assert "column 'barcode': has 6 values; name a column of clusters" in refused(path, columns=("barcode", "a"))


def test_a_table_and_a_zarr_in_a_bucket(tmp_path: Path) -> None:
    place = Place("memory://compared/labels.parquet")
    write_labels_parquet(place, np.array(NAMES, dtype=object), {"type": COLUMNS["type"]})
    (pair,) = compared(result(tmp_path, "r", COLUMNS), place.url, columns=("leiden_0.5_1", "type")).pairs
    assert pair.comparison.similarity == 1

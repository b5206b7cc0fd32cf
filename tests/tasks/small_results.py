"""Small results for the tests of collecting, and how what was written is read back."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import pandas as pd

from cellstrata.tasks.collection.columns import Collected, collect_columns
from cellstrata.tasks.stores.places import Place
from tests.tasks.everything import save

NAMES = [f"cell{i}" for i in range(6)]


def result(folder: Path, name: str, columns: dict[str, Any], names: list[str] = NAMES, form: str = "h5ad") -> str:
    """Write an AnnData with these columns and no X; return its path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not unique")
        return save(ad.AnnData(obs=frame_of(columns, names)), folder, form, name)


def frame_of(columns: dict[str, Any], names: list[str] = NAMES) -> pd.DataFrame:
    """Return an obs."""
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object))


def labels(*values: str | None, **more: Any) -> pd.Categorical:
    """Return a column of labels, None where a cell has none."""
    return pd.Categorical(list(values), **more)


def collected(*urls: str) -> Collected:
    """Collect the columns of some results."""
    return collect_columns([Place(url) for url in list(urls)])


def filled(values: Any) -> list[Any]:
    """Return values with None for what is missing, however it is."""
    return [None if pd.isna(value) else value for value in values]


def texts(path: str | Path) -> pd.DataFrame:
    """Read a CSV file, every value as the text that it is, missing ones as ""."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    return frame.set_index(frame.columns[0])


def write_slash(folder: Path, columns: dict[str, Any], names: list[str]) -> str:
    """Write a result that has a column with a slash in its name, as anndata wrote those once."""
    plain = {name.replace("/", "-"): values for name, values in columns.items()}
    source = result(folder, "slash", plain, names)
    with h5py.File(source, "r+") as file:
        obs: Any = file["obs"]
        for name in columns:
            if "/" in name:
                obs.move(name.replace("/", "-"), name)
        obs.attrs["column-order"] = list(columns)
    return source

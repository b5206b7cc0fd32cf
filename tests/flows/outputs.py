"""What a run has left behind: its labels, its tree, the entries of its cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import pandas as pd


def labels(report: dict[str, Any]) -> pd.DataFrame:
    """The labels of a dataset's report, as text."""
    return pd.read_parquet(report["labels"]).astype(str)


def tree_of(report: dict[str, Any]) -> pd.DataFrame:
    """The tree that a dataset's result records."""
    tree: pd.DataFrame = anndata.read_zarr(report["output"]).uns["clustering"]["tree"]
    return tree


def entries(folder: Path, kind: str) -> dict[str, int]:
    """The entries of a kind in `folder/cache`, and when each was written."""
    files = (folder / "cache" / "v1" / "records").rglob("*.json")
    return {path.stem: path.stat().st_mtime_ns for path in files if json.loads(path.read_text())["kind"] == kind}

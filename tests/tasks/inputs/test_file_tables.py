from __future__ import annotations

from pathlib import Path

import pandas as pd

from cellstrata.configs import RunConfig
from cellstrata.tasks.inputs.file_tables import write_file_tables


def test_the_tables_are_those_of_the_ancestor(tmp_path: Path) -> None:
    """`input_files.tsv` and `output_files.tsv`, read as its users do, with pandas."""
    clustering = {"algorithm": "leiden", "resolutions": [0.5]}
    config = RunConfig(
        output_dir=str(tmp_path / "out dir"),
        defaults={"datasets": ["lung"], "clustering": clustering},
        DATASETS={
            "lung": {"input": {"clustering": {"core": "data/lung.h5ad", "ext": "s3://bucket/ext.zarr"}}},
            "blood": {"input": {"clustering": "data/a\tb.h5ad"}},
            "other": {"input": {"integration": "x.h5ad"}},
        },
    )
    write_file_tables(config)
    folder = tmp_path / "out dir" / "clustering"
    inputs = pd.read_table(folder / "input_files.tsv")
    assert list(inputs.columns) == ["dataset", "file_id", "file_path"]
    assert inputs.to_numpy().tolist() == [
        ["lung", "core", "data/lung.h5ad"],
        ["lung", "ext", "s3://bucket/ext.zarr"],
        ["blood", "46dc5c5bc5", "data/a\tb.h5ad"],  # BLAKE2b of the path, 5 bytes
    ]
    outputs = pd.read_table(folder / "output_files.tsv")
    assert list(outputs.columns) == ["dataset", "file_id", "out_file_id", "file_path"]
    assert outputs.iloc[0].tolist() == [
        "lung", "core", "clustering:core", str(folder / "dataset~lung" / "file_id~core.zarr"),
    ]  # fmt: skip
    assert len(outputs) == 3


def test_in_memory(tmp_path: Path) -> None:
    data = {"d": {"input": {"clustering": "x.h5ad"}, "clustering": {"algorithm": "leiden", "resolutions": 1}}}
    config = RunConfig(output_dir="memory://tables/out", DATASETS=data)
    write_file_tables(config)
    text = pd.read_table("memory://tables/out/clustering/output_files.tsv")["file_path"][0]
    assert text.startswith("memory://tables/out/clustering/dataset~d/file_id~")

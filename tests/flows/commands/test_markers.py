"""`cellstrata markers` on what `cluster` really wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cellstrata.flows.commands.command import main
from tests.flows.conftest import Cluster, Run
from tests.tasks.everything import load

Markers = Callable[..., tuple[int, str, str]]


@pytest.fixture
def markers(capsys: pytest.CaptureFixture[str]) -> Markers:
    """`cellstrata markers` in this process: its exit code, and what it printed to stdout and stderr."""

    def call(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["markers", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_two_levels_of_blood_cells(forms: dict[str, Path], cluster: Cluster, markers: Markers, tmp_path: Path) -> None:
    assert cluster(forms["zarr"], "l1.zarr", "--resolution", 0.5)[0] == 0
    assert cluster("l1.zarr", "l2.zarr", "--resolution", 0.5, "--level", 2)[0] == 0
    code, out, err = markers("l2.zarr", "--raw")
    assert code == 0, err
    table = pq.read_table(tmp_path / "l2" / "markers.parquet").to_pandas()
    assert out.splitlines()[-1] == f"markers {tmp_path / 'l2' / 'markers.parquet'}"
    assert out.splitlines()[-2].startswith("values  raw/X holds numbers that are not whole from 0 to ")
    obs = load("l2.zarr").obs["leiden_0.5_2"]
    large = {label for label, n in obs.value_counts().items() if n >= 10}
    all_others = table[(table["column"] == "leiden_0.5_2") & (table["against"] == "all")]
    assert set(all_others["cluster"]) == large
    assert all_others.groupby("cluster", observed=True).size().eq(100).all()
    for label in large:
        best = all_others[all_others["cluster"] == label]["gene"].iloc[:2]
        assert ", ".join(best) in out

    code, out, err = markers("l2.zarr", "--raw", "--json", "--against", "sisters", "--columns", "leiden_0.5_2")
    assert code == 0, err
    found = json.loads(out)
    assert (found["matrix"], found["markers"]) == ("raw/X", str(tmp_path / "l2" / "markers.parquet"))
    assert {one["against"] for one in found["clusters"]} == {"sisters"}
    assert all(one["cluster"].rpartition("_")[0] == one["parent"] for one in found["clusters"])


def test_what_is_wrong_is_told(forms: dict[str, Path], cluster: Cluster, markers: Markers, tmp_path: Path) -> None:
    assert cluster(forms["zarr"], "l1.zarr", "--resolution", 0.5)[0] == 0
    code, out, err = markers("l1.zarr")
    assert (code, out) == (2, "")
    assert "l1.zarr: X: holds numbers that are not whole from " in err
    assert "scaled or centered; name a matrix of logarithms" in err
    code, _, err = markers("l1.zarr", "--layer", "counts")
    assert code == 2
    assert "layers['counts']: is not in the file; there is X, raw: name one of these" in err
    code, _, err = markers("l1.zarr", "--raw", "--normalize")
    assert code == 2
    assert "raw/X: holds numbers that are not whole" in err
    assert "leave `normalize` away" in err
    assert cluster(forms["h5ad"], "copied.zarr", "--resolution", 0.5)[0] == 0
    code, _, err = markers("copied.zarr")
    assert code == 2
    assert "X: is not in the result: `cluster` left them out, as it does with those of an h5ad file; cluster " in err
    code, _, err = markers(forms["h5ad"])
    assert code == 2
    assert "is no result of cellstrata" in err
    assert not (tmp_path / "l1").exists()


@pytest.mark.prefect
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_a_result_of_a_run_that_refers_to_its_input(
    form: str, forms: dict[str, Path], one: Run, markers: Markers
) -> None:
    output = one(forms[form], {"hierarchy": 2, "resolutions": [0.5]})["output"]
    code, out, err = markers(output, "--raw", "--json", "--n_genes", 5)
    assert code == 0, err
    found = json.loads(out)
    assert Path(found["markers"]) == Path(output.removesuffix(".zarr")) / "markers.parquet"
    assert (Path(output.removesuffix(".zarr")) / "labels.parquet").exists()
    assert {one["column"] for one in found["clusters"]} == {"leiden_0.5_1", "leiden_0.5_2"}


@pytest.mark.parametrize("words", [["--n_genes", "0"], ["--min_cells", "1"], ["--method", "auc"], ["--against", "rest"],
                                   ["--raw", "--layer", "x"], ["--threads", "3"]])  # fmt: skip
def test_words_that_mean_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["markers", "r.zarr", *words])
    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err

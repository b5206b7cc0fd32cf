"""The ancestor's defects that are about figures: C12, C14, C22 and C25 of its description, section C."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cellstrata.tasks.elements.opening import open_anndata
from cellstrata.tasks.evaluation.covariates import Categories, read_covariate
from cellstrata.tasks.figures.cells import Cells, read_cells
from cellstrata.tasks.figures.request import FigureRequest
from cellstrata.tasks.figures.wanted import Gallery, Wanted
from cellstrata.tasks.stores.places import Place
from tests.flows import planted as p
from tests.flows.conftest import Run
from tests.tasks.everything import save

COVARIATES = ("bulk_labels", "batch", "n_genes", "phase")
COLUMNS = ("leiden_0.2_1", "leiden_0.5_1", "leiden_1.0_1")


def cells_of(result: str, columns: Iterable[str], covariates: Iterable[str]) -> Cells:
    return read_cells(
        FigureRequest(
            result=result,
            folder="",
            name="d/f",
            key="",
            columns=tuple(columns),
            covariates=tuple(covariates),
            colors=(),
            centroids=(),
        )
    )


def ink(png: bytes) -> float:
    """The part of an image that is not white."""
    return float((np.asarray(Image.open(io.BytesIO(png)).convert("L")) < 250).mean())


def drawn(figures: Iterable[Wanted]) -> dict[str, bytes]:
    return {wanted.path: wanted.draw().png() for wanted in figures}


def test_c14_figures_share_no_state_and_none_stays_open(one: Run, pbmc: Path) -> None:
    """Each is drawn on its own, in whatever order and whatever else is being drawn with pyplot; so also C25."""
    result = one(pbmc, {"resolutions": [0.2, 0.5, 1.0]})["output"]
    wanted = [each for each in Gallery(cells_of(result, COLUMNS, COVARIATES)).figures() if "--" in each.path]
    wanted = [each for each in wanted if each.path.startswith("evaluation/leiden")]
    assert len(wanted) == 12
    first = drawn(wanted)
    foreign, axes = plt.subplots()
    try:
        again = drawn(reversed(wanted))
        assert plt.get_fignums() == [foreign.number]
        assert not axes.has_data()
    finally:
        plt.close(foreign)
    assert again == first
    assert len({hashlib.sha256(png).digest() for png in first.values()}) == 12
    assert min(map(ink, first.values())) > 0.05


def test_c12_c22_every_name_has_its_figure(one: Run, tmp_path: Path) -> None:
    def change(adata: ad.AnnData) -> None:
        adata.obsm["X_umap"] = p.CELLS[:, :2].copy()

    source = p.write(tmp_path, "zarr3", change, p.slash_in_a_name)
    settings = {"resolutions": [1, 0.50], "umap_colors": ["cloud", "a/b ☃"]}
    report = one(Path(source), settings, images=str(tmp_path / "images"), figures="auto")
    assert not [notice for notice in report["notices"] if "drawn" in notice]
    folder = tmp_path / "images" / "clustering" / "dataset~d" / "file_id~f"
    found = {path.relative_to(folder).as_posix().partition("~")[0] for path in folder.rglob("*.png")}
    columns = ["leiden_1.0_1", "leiden_0.5_1"]
    assert {f"umap/{name}.png" for name in [*columns, "cloud"]} | {"umap/a_b ☃"} <= found
    for column in columns:
        assert {f"evaluation/{column}--cloud.png", f"evaluation/{column}--a_b ☃"} <= found


@pytest.mark.parametrize("prefix", ["", "g"])
def test_c22_categories_are_drawn_in_natural_order(prefix: str, tmp_path: Path) -> None:
    names = [f"{prefix}{i}" for i in range(12)]
    obs = pd.DataFrame({"group": pd.Categorical(names * 2)}, index=[f"c{i}" for i in range(24)])
    assert list(obs["group"].cat.categories) == sorted(names) != names
    with open_anndata(Place(save(ad.AnnData(obs=obs), tmp_path, "zarr3"))) as root:
        found = read_covariate(root, "group")
    assert isinstance(found, Categories)
    assert list(found.labels) == names
    assert [names[code] for code in found.codes] == list(obs["group"])

"""Figures of a small result: which there are, what stands in them, that they are drawn once, and read little."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.advice.candidates import JudgedResolution
from cellstrata.tasks.colours.palette import MISSING, category_palette
from cellstrata.tasks.elements.reading import open_anndata
from cellstrata.tasks.evaluation.covariates import Categories, Numbers
from cellstrata.tasks.evaluation.gene_values import read_genes
from cellstrata.tasks.figures.advice_figure import advice_sheet
from cellstrata.tasks.figures.cells import read_cells
from cellstrata.tasks.figures.draw import draw_figures
from cellstrata.tasks.figures.entropy_figure import entropies, stacked
from cellstrata.tasks.figures.evaluation_figures import bars
from cellstrata.tasks.figures.hierarchy_figure import LOST, hierarchy
from cellstrata.tasks.figures.hierarchy_layout import Branch, branches, lay_out
from cellstrata.tasks.figures.label_places import anchors, hides, place_labels
from cellstrata.tasks.figures.legend import Legend, entries
from cellstrata.tasks.figures.raster import draw_order, paint, positions
from cellstrata.tasks.figures.record import DrawnFigures, find_figures
from cellstrata.tasks.figures.request import FigureRequest
from cellstrata.tasks.figures.sheet import shortened, text_size, unknown_letters
from cellstrata.tasks.figures.umap_figure import Map, Scale, by_category, by_genes, by_number
from cellstrata.tasks.figures.wanted import Gallery
from cellstrata.tasks.kernels.stability import LOW
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.rows import TreeRows
from tests.tasks.finished_results import make_result
from tests.tasks.small import nested

COLUMNS = ("leiden_0.1_1", "leiden_0.1_2", "leiden_0.5_1", "leiden_0.5_2")


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> FigureRequest:
    """A result of 182 cells at two resolutions and two levels, and all kinds of covariates and genes."""
    folder = tmp_path_factory.mktemp("figures")
    cells, of = nested()
    n, rng = len(cells), np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "donor": pd.Categorical([f"donor {i % 11}" for i in of]),
            "CD4/CD8": pd.Categorical(np.where(of > 3, "high", None)),
            "score": np.where(of == 0, np.nan, rng.normal(size=n)),
            "one": pd.Categorical(["same"] * n),
        },
        index=[f"c{i}" for i in range(n)],
    )
    genes = sp.random(n, 30, 0.2, "csr", np.float32, rng)
    adata = ad.AnnData(genes, obs, pd.DataFrame(index=[f"G{i}" for i in range(30)]))
    adata.obsm["X_pca"], adata.obsm["X_umap"] = cells, cells[:, :2] + cells[:, 2:]
    del adata.obs["CD4/CD8"]
    adata.obs["stage"] = obs["CD4/CD8"]
    adata.write_h5ad(folder / "in.h5ad")
    settings = {
        "resolutions": [0.1, 0.5], "hierarchy": 2, "recompute_neighbors": True, "neighbors": {"n_neighbors": 10},
        "umap_colors": ["donor", "score", "stage"],
    }  # fmt: skip
    made = make_result(folder, str(folder / "in.h5ad"), settings)
    colors = ("one", *(f"G{i}" for i in range(14)))
    return FigureRequest(
        result=made.url, folder=str(folder / "figures"), name="d/f", key=made.finished.key(), columns=COLUMNS,
        covariates=("donor", "score", "stage"), colors=colors, centroids=("donor",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def drawn(request_: FigureRequest) -> DrawnFigures:
    return draw_figures(request_)


def test_every_figure_is_there_under_its_name(request_: FigureRequest, drawn: DrawnFigures) -> None:
    expected = {f"umap/{name}.png" for name in (*COLUMNS, "donor", "score", "genes_group=0", "genes_group=1")}
    expected |= {f"umap/{column}_stability.png" for column in COLUMNS}  # three runs were made, as `auto` has it
    expected |= {f"evaluation/{column}--{name}.png" for column in COLUMNS for name in ("donor", "score")}
    expected |= {"evaluation/NMI.png", "evaluation/entropy--donor.png"}
    expected |= {
        f"tree/{name}.{form}" for name in ("clustree--leiden", "leiden_0.1", "leiden_0.5") for form in ("png", "svg")
    }
    assert set(drawn.figures) == expected
    assert drawn.drawn == len(expected)
    assert sorted(drawn.skipped) == ["stage, one have one value"]
    for path in expected:
        data = (Path(request_.folder) / path).read_bytes()
        assert data.startswith(b"\x89PNG" if path.endswith("png") else b"<?xml")
    assert all(image.startswith("data:image/webp;base64,") for image in drawn.previews.values())
    svg = (Path(request_.folder) / "tree/leiden_0.5.svg").read_text()
    assert ">2_1</text>" in svg.replace("\n", "")


def test_a_second_time_nothing_is_drawn_and_then_only_what_changed(
    request_: FigureRequest, drawn: DrawnFigures
) -> None:
    found = find_figures(request_)
    assert found is not None
    assert (found.drawn, found.figures, found.previews) == (0, drawn.figures, drawn.previews)
    fewer = replace(request_, colors=("one",), key="another")
    assert find_figures(fewer) is None
    report = draw_figures(fewer)
    assert report.drawn == 0
    assert not (Path(request_.folder) / "umap/genes_group=0.png").exists()
    (Path(request_.folder) / "umap/donor.png").unlink()
    assert find_figures(fewer) is None
    assert draw_figures(fewer).drawn == 1
    (Path(request_.folder) / "figures.json").write_text("{")
    assert find_figures(fewer) is None


def cloud(folder: Path, **settings: object) -> FigureRequest:
    """A result of 700 cells of one cloud, on which no two runs agree."""
    cells = np.random.default_rng(5).normal(size=(700, 20)).astype(np.float32)
    adata = ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(len(cells))]))
    adata.obsm["X_pca"], adata.obsm["X_umap"] = cells, cells[:, :2]
    adata.write_h5ad(folder / "in.h5ad")
    asked = {"resolutions": [1.0], "hierarchy": 2, "neighbors": {"n_neighbors": 10}} | settings
    made = make_result(folder, str(folder / "in.h5ad"), asked)
    return FigureRequest(
        result=made.url, folder=str(folder / "figures"), name="d/f", key=made.finished.key(),
        columns=("leiden_1.0_1", "leiden_1.0_2"), covariates=(), colors=(), centroids=(),
    )  # fmt: skip


def test_clusters_that_other_seeds_do_not_find_are_seen(tmp_path: Path) -> None:
    asked = cloud(tmp_path, ensemble=3)
    cells = read_cells(asked)
    stored = np.asarray(ad.read_zarr(asked.result).obsm["clustering_stability"])
    assert list(cells.stability) == list(asked.columns)
    np.testing.assert_array_equal(cells.stability["leiden_1.0_2"].values, stored[:, 1].astype(float))
    wanted = {each.path: each for each in Gallery(cells).figures()}
    sheet = wanted["umap/leiden_1.0_1_stability"].draw()
    assert (0.0, 1.0) in [axes.get_ylim() for axes in sheet.figure.axes]  # the bar, whatever the values are
    labels = [text.get_text() for axes in sheet.figure.axes for text in axes.texts if text.get_gid() == "centroid"]
    assert set(labels) <= set(cells.columns[0].labels)
    assert labels

    rows = cells.rows.clusters("leiden_1.0_1")
    top = branches(cells.rows, ["leiden_1.0_1", "leiden_1.0_2"])
    assert [branch.stability for branch in top] == [rows[branch.label]["stability"] for branch in top]
    low = sum(line.branch.stability < LOW for line in lay_out(top))
    assert low
    svg = wanted["tree/leiden_1.0"].draw().svg().decode()
    assert svg.count(f"fill: {LOST}") == low
    assert "stability" in svg


def test_the_drawn_tree_tells_how_far_a_split_was_found_again() -> None:
    def row(cluster: str, level: int, parent: str, reason: str, found: float) -> dict[str, object]:
        return {"column": f"leiden_1.0_{level}", "cluster": cluster, "level": level, "parent": parent, "n_cells": 50,
                "reason": reason, "stability": np.nan, "replicability": found}  # fmt: skip

    refused = "not replicable: 0.21 (needs 0.5)"
    tree = pd.DataFrame(
        [
            row("0", 1, "", "", 0.87), row("1", 1, "", refused, 0.21), row("0_0", 2, "0", "last level", np.nan),
            row("0_1", 2, "0", "last level", np.nan), row("1_0", 2, "1", "last level", np.nan),
        ]
    )  # fmt: skip
    top = branches(TreeRows(tree, {}), ["leiden_1.0_1", "leiden_1.0_2"])
    assert [branch.replicability for branch in top] == [0.87, 0.21]
    colors = dict.fromkeys(["leiden_1.0_1", "leiden_1.0_2"], dict.fromkeys(tree["cluster"], "#123456"))
    texts = hierarchy(top, colors, "leiden_1.0", "d/f").svg().decode()
    assert "50 · replicability 0.87" in texts
    assert "50 · not replicable · replicability 0.21" in texts
    assert texts.count("replicability") == 2


def test_the_chart_of_a_sweep_shows_what_is_known_and_survives_what_is_not() -> None:
    def one(resolution: float, n_clusters: int, found: float | None, plateau: int, **more: Any) -> JudgedResolution:
        unknown = dict.fromkeys(["best_from", "best_to", "agreement", "stability", "excess", "p"])
        measured = {"expected": found, "replicability": found, "recovered": found, "stands": None, "reason": None}
        return JudgedResolution(resolution=resolution, n_clusters=n_clusters, largest=9, modularity=0.5,
                                plateau=plateau, **{**unknown, **measured, **more})  # fmt: skip

    rows = (one(0.1, 1, None, 0), one(0.4, 3, 0.9, 1, best_from=0.0, best_to=0.7), one(0.5, 3, 0.9, 1),
            one(9.0, 240, 0.1, 2, best_from=0.7))  # fmt: skip
    advice = Advice(algorithm="leiden", resolutions=rows, candidates=(0.4,), advised=0.4, said="0.4 <b>; above it")
    svg = advice_sheet(advice, "d/f, 9 cells").svg().decode()
    for said in ("halves with one another", "240", "0.4 &lt;b&gt;;", "above it", "clusters of level 1"):
        assert said in svg
    assert "stability of runs" not in svg  # none was measured
    bare = replace(advice, resolutions=tuple(one(at, 1, None, 0) for at in (0.1, 0.2)), candidates=(), advised=None)
    assert advice_sheet(bare, "d/f").png()[:4] == b"\x89PNG"
    assert advice_sheet(replace(bare, resolutions=bare.resolutions[:1]), "d/f").png()[:4] == b"\x89PNG"


def test_single_runs_have_no_figure_of_stability(tmp_path: Path) -> None:
    asked = cloud(tmp_path, ensemble=1)
    cells = read_cells(asked)
    wanted = {each.path: each for each in Gallery(cells).figures()}
    assert not [path for path in wanted if "stability" in path]
    assert "stability" not in wanted["tree/leiden_1.0"].draw().svg().decode()


def test_one_figure_that_fails_costs_no_other(
    request_: FigureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellstrata.tasks.figures.wanted.heat_map", lambda *_: 1 / 0)
    report = draw_figures(
        replace(request_, folder=str(tmp_path), covariates=("donor",), colors=(), columns=COLUMNS[:2])
    )
    assert "umap/donor.png" in report.figures
    assert any("evaluation/NMI: ZeroDivisionError" in reason for reason in report.skipped)


def test_colours_in_the_result_are_those_of_the_figures(request_: FigureRequest) -> None:
    adata = ad.read_zarr(request_.result)
    for column in COLUMNS:
        assert len(adata.uns[f"{column}_colors"]) == len(adata.obs[column].cat.categories)
    tree = json.loads(str(adata.uns["clustering"]["columns"]))
    assert set(tree) == set(COLUMNS)


def cells_in(sizes: list[int], spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    centres = rng.normal(size=(len(sizes), 2)) * spread
    return centres[codes] + rng.normal(size=(len(codes), 2)) * 0.1, codes


def test_labels_at_centroids_do_not_overlap() -> None:
    """All of 60 clusters, many of them in one place, by the boxes of the texts as they are drawn."""
    embedding, codes = cells_in([20] * 60, spread=0.3)
    labels = tuple(f"{i}_10_3" for i in range(60))
    of = Categories("c", codes, labels, category_palette(labels))
    sheet = by_category(Map(embedding), of, "about", labelled=True, whole=True)
    texts = [text for axes in sheet.figure.axes for text in axes.texts if text.get_gid() == "centroid"]
    assert len(texts) == 60
    sheet.figure.canvas.draw()
    boxes = np.array([text.get_window_extent().extents for text in texts])
    across = (boxes[:, None, 0] < boxes[None, :, 2]) & (boxes[None, :, 0] < boxes[:, None, 2])
    both = across & (boxes[:, None, 1] < boxes[None, :, 3]) & (boxes[None, :, 1] < boxes[:, None, 3])
    assert both.sum() == 60  # each with itself
    panel = sheet.figure.axes[0].get_window_extent().extents
    assert (boxes[:, :2] >= panel[:2] - 1).all()
    assert (boxes[:, 2:] <= panel[2:] + 1).all()


def test_a_label_stands_beside_a_cluster_that_it_would_hide() -> None:
    rng = np.random.default_rng(0)
    large, small = rng.uniform(0, 300, (500, 2)), rng.normal((400, 400), 3, (50, 2))
    codes = np.repeat(np.arange(2, dtype=np.int32), [500, 50])
    middles, sizes = np.array([[150.0, 150.0], [400.0, 400.0]]), np.full((2, 2), [30.0, 14.0])
    beside = hides(np.vstack([large, small, [[np.nan, 1.0]]]), np.append(codes, np.int32(1)), middles, sizes)
    assert beside.tolist() == [False, True]
    first = np.arange(2)
    assert place_labels(middles, sizes, first, 500, 500).tolist() == middles.tolist()
    placed = place_labels(middles, sizes, first, 500, 500, beside)
    assert placed[0].tolist() == [150, 150]
    assert (np.abs(placed[1] - 400) > sizes[1] / 2).any()
    assert np.hypot(*(placed[1] - 400)) < 40


def test_what_finds_no_room_is_left_out() -> None:
    places = place_labels(np.full((400, 2), 50.0), np.full((400, 2), [30.0, 12.0]), np.arange(400), 100, 100)
    there = np.isfinite(places).all(axis=1)
    assert there[0]
    assert 10 < there.sum() < 400


def test_a_label_stands_within_its_cluster() -> None:
    places = np.array([[0.0, 0.0]] * 5 + [[100.0, 100.0]] * 60 + [[200.0, 0.0]] * 55)
    codes = np.array([0] * 5 + [1] * 60 + [1] * 55, np.int32)
    assert anchors(places, codes, 3)[:2].tolist() == [[0, 0], [100, 100]]
    assert np.isnan(anchors(places, codes, 3)[2]).all()


def test_legends_count_and_number_and_give_up() -> None:
    of = Categories("c", np.array([0, 0, 1, -1], np.int32), ("alpha", "b"), {"alpha": "#000000", "b": "#111111"})
    lines = [(e.color, e.text, e.count) for e in entries(of, numbered=True)]
    assert lines == [("#000000", "0: alpha", "(n=2)"), ("#111111", "1: b", "(n=1)"), (MISSING, "no value", "(n=1)")]
    many = tuple(map(str, range(103)))
    lots = entries(Categories("c", np.arange(103, dtype=np.int32), many, category_palette(many)))
    assert [e.color for e in lots] == ["none", "none"]


def test_long_labels_that_begin_alike_are_told_apart() -> None:
    names = tuple(f"CD4-positive, alpha-beta memory T cell, CD45RO-positive, of donor {i}" for i in range(3))
    of = Categories("c", np.arange(3, dtype=np.int32), names, category_palette(names))
    for numbered in (False, True):
        texts = [entry.text for column in Legend(entries(of, numbered), 400).columns for entry in column]
        assert [text.endswith(f"of donor {i}") for i, text in enumerate(texts)] == [True] * 3
        assert all("CD4-pos" in text and "…" in text for text in texts)
    assert shortened("nothing to cut", 6.5, 400, tail=0.6) == "nothing to cut"


def test_a_long_name_hides_no_agreement() -> None:
    rng, labels = np.random.default_rng(0), tuple("abc")
    of = Categories("leiden_0.5_1", rng.integers(0, 3, 90).astype(np.int32), labels, category_palette(labels))
    long = Categories("name_" * 60, rng.integers(-1, 3, 90).astype(np.int32), labels, category_palette(labels))
    title, below = (text.get_text() for text in bars(of, long, "d/f, 90 cells").figure.texts)
    assert re.search(r"^leiden_0.5_1 and name_.*…: +NMI 0\.\d\d +ARI .*V-measure 0\.\d\d$", title)
    assert f"d/f, 90 cells, {90 - long.n_missing} with a value" in below


def test_numbers_at_centroids_have_a_legend() -> None:
    """Of more values than a legend shows there are none."""
    for n, expected in ((100, True), (103, False)):
        names = tuple(f"pool {i}" for i in range(n))
        of = Categories("c", np.arange(4 * n, dtype=np.int32) % n, names, category_palette(names))
        sheet = by_category(Map(np.random.default_rng(0).normal(size=(4 * n, 2))), of, "about", labelled=True)
        texts = [text for axes in sheet.figure.axes for text in axes.texts if text.get_gid() == "centroid"]
        assert bool(texts) == expected


def test_missing_values_are_grey_and_below_the_others() -> None:
    places = positions(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), 100)
    rgb = np.array([[208, 208, 208], [255, 0, 0], [0, 0, 255]], np.uint8)
    image = paint(places, rgb, np.array([0, 1, 2]), 100, 4.0)
    x, y = places[0].astype(int)
    assert image[y, x].tolist() == [255, 0, 0, 255]
    assert (image[..., 3] > 0).sum() < 250  # two discs
    scale = Scale(np.array([0.0, 1.0, np.nan]))
    assert scale.rgb(np.array([np.nan]))[0].tolist() == [208, 208, 208]
    umap = Map(np.array([[0.0, 0.0], [1.0, 1.0], [np.nan, 0.0]]))
    assert umap.image(rgb, np.zeros(3, bool)).shape == (900, 900, 4)


def test_numbers_are_diverging_only_with_negative_ones() -> None:
    assert not Scale(np.arange(10.0)).diverging
    around = Scale(np.array([-1.0, 0.0, 3.0]))
    assert around.diverging
    assert around.low == -around.high
    assert around.ends[0] > around.low  # the bar ends where the numbers do
    zero, missing = around.rgb(np.array([0.0, np.nan])).astype(int)
    assert np.abs(zero - missing).max() > 30
    constant = Scale(np.array([2.0, 2.0]))
    assert constant.low < constant.high
    sheet = by_number(Map(np.eye(2)), Numbers("x", np.array([np.nan, 1.0])), "about")
    assert any("no value" in text for axes in sheet.figure.axes for each in axes.artists for text in each.texts)


def test_genes_fill_their_rows() -> None:
    values = np.array([0.0, 1.0, 2.0])
    umap = Map(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]), 120)

    def wide(n: int) -> float:
        return by_genes(umap, [Numbers(f"G{i}", values) for i in range(n)], "Genes", "about").width

    assert wide(9) == wide(3) == wide(5) < wide(4) == wide(12)


def test_names_beside_dots_are_apart_and_near() -> None:
    wanted = np.array([0.0, 0.001, 0.002, 0.5, 0.99, 1.0])
    found = stacked(wanted, 0.05, -0.06, 1.06)
    assert (np.diff(found) >= 0.05 - 1e-9).all()
    assert found[0] >= -0.06 + 0.025
    assert found[-1] <= 1.06 - 0.025
    assert np.abs(found - wanted).max() <= 0.101
    assert found[3] == 0.5
    crowded = stacked(np.full(12, 1.05), 0.05, -0.06, 1.06)
    assert crowded[-1] <= 1.06 - 0.025
    assert (np.diff(crowded) >= 0.05 - 1e-9).all()


def test_many_columns_of_entropies_stand_below_one_another() -> None:
    rng = np.random.default_rng(0)
    labels = tuple(map(str, range(6)))
    columns = [
        Categories(f"leiden_{i}_1", rng.integers(0, 6, 300).astype(np.int32), labels, category_palette(labels))
        for i in range(18)
    ]
    donor = Categories("donor", columns[0].codes, labels, category_palette(labels))
    sheet = entropies(columns, donor, "about")
    assert sheet.width < 1500
    assert sum(len(axes.get_xticklabels()) for axes in sheet.figure.axes if axes.axison) == 18
    names = [text for axes in sheet.figure.axes for each in axes.artists for text in each.texts]
    assert names == [f"{i}: {i}" for i in sorted(range(6), key=lambda i: names.index(f"{i}: {i}"))]


def test_cells_are_drawn_in_a_fixed_disorder() -> None:
    order = draw_order(1000)
    assert (order == draw_order(1000)).all()
    assert (order != np.arange(1000)).any()
    assert draw_order(4, np.array([2.0, np.nan, 3.0, 1.0])).tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_genes_are_read_by_name(tmp_path: Path, form: str) -> None:
    x = sp.random(50, 20, 0.3, "csr", np.float32, np.random.default_rng(1))
    whole = x.toarray()
    stored = {"csr": x, "csc": x.tocsc(), "dense": whole}[form]
    ad.AnnData(stored, var=pd.DataFrame(index=[f"G{i}" for i in range(20)])).write_h5ad(tmp_path / "x.h5ad")
    with open_anndata(Place(str(tmp_path / "x.h5ad"))) as root:
        found = read_genes(root, ["G7", "nothing", "G2"])
    assert [gene.name for gene in found] == ["G7", "G2"]
    np.testing.assert_array_equal(found[0].values, whole[:, 7])
    np.testing.assert_array_equal(found[1].values, whole[:, 2])


def test_a_tree_of_hundreds_has_a_line_for_each_cluster() -> None:
    top = [Branch(str(i), "a", 1, 10, children=[Branch(f"{i}_{j}", "b", 2, 5) for j in range(i)]) for i in range(24)]
    lines = lay_out(top)
    assert len(lines) == 300
    assert len({(line.page, line.row) for line in lines}) == 300
    by_label = {line.branch.label: line for line in lines}
    assert by_label["23_5"].parent_row == by_label["23"].row
    assert 3 <= 1 + max(line.page for line in lines) <= 9
    assert max(line.row for line in lines) < 90


def test_letters_that_the_font_lacks_are_told_once_and_warn_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    assert unknown_letters(["donor", "größe µ", "ядро"]) == ""
    assert unknown_letters(["中心", "中 a"]) == "中心"
    assert text_size("中心 of letters that no figure had yet")[0] > 0
    assert not [each for each in recwarn if "Glyph" in str(each.message)]


def test_names_are_text_in_a_drawn_tree() -> None:
    """A browser runs scripts of an SVG that it opens by itself."""
    naughty = "</text><script>alert(1)</script><a href='javascript:alert(1)'>$x^2$ & co"
    row = {"column": "leiden_1.0_1", "cluster": naughty, "level": 1, "parent": "", "n_cells": 50, "reason": naughty,
           "stability": np.nan, "replicability": np.nan}  # fmt: skip
    top = branches(TreeRows(pd.DataFrame([row]), {}), ["leiden_1.0_1"])
    drawn = hierarchy(top, {"leiden_1.0_1": {naughty: "#123456"}}, "leiden_1.0", naughty).svg()
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawn).iter()}
    assert "text" in tags
    assert not tags & {"script", "a", "foreignObject", "image"}
    assert b"<script" not in drawn

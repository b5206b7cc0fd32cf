"""The HTML report: what is in it, that nothing in it leads anywhere, its size, and when it is written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from jinja2 import UndefinedError

from cellstrata.tasks.evaluation.covariates import Categories, Numbers, categories_of
from cellstrata.tasks.report import write as writing
from cellstrata.tasks.report.cells import chosen, near_each_other, quantised, steps_between
from cellstrata.tasks.report.compared import binned
from cellstrata.tasks.report.covariates import rarest_as_one
from cellstrata.tasks.report.documents import document
from cellstrata.tasks.report.index import IndexRow, index_page
from cellstrata.tasks.report.page import page
from cellstrata.tasks.report.places import shown_place
from cellstrata.tasks.report.subject import GENES, Subject, View
from tests.tasks.finished_results import Made, make_result
from tests.tasks.report.reports import NAUGHTY, RUN, TYPE, Page, cloud, made, parsed, report, write_cells
from tests.tasks.small import cache_at
from tests.tasks.small_subjects import subject_of_size

ADDRESS = re.compile(r"(?:https?|wss?|ftp):|[\"'(=]//", re.IGNORECASE)


def addresses(html: str) -> list[str]:
    """What begins an address of another host; SVG's name is none."""
    return ADDRESS.findall(html.replace("http://www.w3.org/2000/svg", ""))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def result(folder: Path) -> Made:
    return made(folder)


@pytest.fixture(scope="module")
def html(folder: Path, result: Made) -> str:
    found = report(folder, result)
    assert found.written, found
    assert found.url == str(folder / "images/clustering/dataset~d/file_id~f/report.html")
    return Path(found.url).read_text()


def test_nothing_in_it_leads_anywhere(html: str) -> None:
    assert not addresses(html)
    page = parsed(html)
    assert not [tag for tag, attributes in page.tags if {"src", "srcset", "action", "ping"} & set(attributes)]
    links = [a.get("href") or "" for _, a in page.tags if "href" in a]
    assert links
    assert all(link.startswith("#") for link in links)
    policies = [a["content"] or "" for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert [policy.split(";")[0] for policy in policies] == ["default-src 'none'"]


def test_what_users_wrote_is_text(html: str) -> None:
    page = parsed(html)
    assert NAUGHTY in "".join(page.text)
    assert "mind <b>this</b>" in "".join(page.text)
    assert {tag for tag, _ in page.tags} & {"img", "b", "i"} == set()
    assert page.facts["covariates"][0]["name"] == TYPE
    assert page.facts["covariates"][0]["labels"] == [f"<i>type {c}</i></script>" for c in range(3)]


def test_every_section_is_labelled_and_every_table_has_headers(html: str) -> None:
    page = parsed(html)
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    for tag, attributes in page.tags:
        assert all(name in names for name in (attributes.get("aria-labelledby") or "").split())
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
    first = next(a["id"] for tag, a in page.tags if tag == "section")
    assert first == "notices"
    assert html.count("<caption>") == html.count('<table class="sorts">') == 3


def test_the_trees_and_counts_are_those_of_the_result(folder: Path, result: Made, html: str) -> None:
    page = parsed(html)
    labels = pd.read_parquet(folder / "out/clustering/dataset~d/file_id~f/labels.parquet").astype(str)
    for number, tree in enumerate(page.facts["trees"]):
        leaves = page.array(f"tree/{number}").astype(int) - 1
        assert sorted(np.array(tree["label"])[leaves]) == sorted(labels[tree["columns"][-1]])
        for level, column in enumerate(tree["columns"]):
            own = [at for at, of in enumerate(tree["level"]) if of == level]
            assert {tree["label"][at]: tree["cells"][at] for at in own} == labels[column].value_counts().to_dict()
        for at, parent in enumerate(tree["parent"]):
            assert parent < at
            assert parent < 0 or tree["label"][at].startswith(f"{tree['label'][parent]}_")
            assert re.fullmatch("#[0-9a-f]{6}", tree["color"][at])
    assert len(result.trees) == len(page.facts["trees"]) == 2
    assert sum(edge[4] for edge in page.facts["edges"]) == 300


def test_composition_counts_all_cells(html: str) -> None:
    page = parsed(html)
    tree = page.facts["trees"][1]
    clusters = np.cumsum(page.array("counts/4/clusters").astype(int))  # the second tree by donor
    assert page.array("counts/4/cells").sum() == 294
    assert page.facts["covariates"][1]["missing"] == 6
    assert {tree["level"][at] for at in clusters} == {2}
    depth = page.facts["covariates"][2]
    assert depth["missing"] == 3
    assert page.facts["sums"][1] is None
    assert len(page.facts["sums"][2]) == len(page.facts["trees"][0]["label"])


def test_agreement_is_scikit_learns(folder: Path, html: str) -> None:
    from sklearn.metrics import normalized_mutual_info_score

    labels = pd.read_parquet(folder / "out/clustering/dataset~d/file_id~f/labels.parquet").astype(str)
    donors = np.array([f"d{i % 12}" for i in range(300)])
    there = np.arange(300) % 50 != 0
    expected = normalized_mutual_info_score(donors[there], labels["leiden_1.0_2"][there])
    table = html[html.index('id="agreement"') :]
    row = re.search(r"leiden_1\.0_2</th>(.*?)</tr>", table)
    assert row
    found = re.findall(r'data-order="([\d.]+)"', row.group(1))[1]
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_without_a_umap_it_shows_the_embedding_and_says_so(tmp_path: Path) -> None:
    found = report(tmp_path, made(tmp_path, umap=False, resolutions=[0.3]))
    view = parsed(Path(found.url).read_text()).facts["view"]
    assert view["title"] == "First two dimensions of X_pca"
    assert "no UMAP" in view["note"]


def test_the_same_result_is_not_written_again_and_another_is(folder: Path, result: Made, html: str) -> None:
    again = report(folder, result, replace(RUN, executed=0, seconds=9.9))
    assert not again.written
    assert Path(again.url).read_text() == html
    other = report(folder, result, replace(RUN, notices=()))
    assert other.written
    assert "mind &lt;b&gt;" in html
    assert "mind &lt;b&gt;" not in Path(other.url).read_text()


def test_secrets_stay_out(tmp_path: Path) -> None:
    assert shown_place("s3://user:secret@bucket/a.zarr?sig=secret#secret") == "s3://bucket/a.zarr"
    assert shown_place("https://me:secret@host.org/a.h5ad?token=secret") == "host.org/a.h5ad (by https)"
    assert shown_place("/data/a?b#c.h5ad") == "/data/a?b#c.h5ad"


def test_a_report_that_cannot_be_written_fails_nothing(
    folder: Path, tmp_path: Path, result: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").write_text("a file where the folder should be")
    asked = (result.finished, RUN, str(tmp_path / "images"), cache_at(folder / "cache"), {})
    assert "NotADirectoryError" in writing.write_report(*asked).problem
    monkeypatch.setattr(writing, "page", lambda *_: 1 / 0)
    (tmp_path / "images").unlink()
    assert "ZeroDivisionError" in writing.write_report(*asked).problem
    assert not list(tmp_path.glob("images/**/*.html"))


@pytest.mark.parametrize("n_trees", [1, 12])
def test_a_million_cells_take_less_than_ten_megabytes(n_trees: int) -> None:
    """Cells at random, as nothing deflates worse; the page has as many of them as of any larger dataset."""
    subject = subject_of_size(260_000, n_trees)
    stability = np.random.default_rng(0).random(260_000, np.float32)
    subject = replace(subject, stability=dict.fromkeys(subject.labels, stability))
    html = page(subject, "key")
    assert len(html) < 10_000_000
    found = parsed(html)
    assert len(found.facts["stability"]) == 2 * n_trees
    assert found.facts["view"]["shown"] >= 100_000
    assert found.facts["view"]["shown"] <= 250_000 + 20 * len(subject.tree)
    for number, tree in enumerate(found.facts["trees"]):
        assert set(np.flatnonzero(np.array(tree["level"]) == 1)) <= set(found.array(f"tree/{number}").astype(int) - 1)


@pytest.fixture(scope="module")
def unsteady(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, ad.AnnData]:
    """A report of an ensemble whose runs do not agree, as HTML too, and its result."""
    folder = tmp_path_factory.mktemp("unsteady")
    made = cloud(folder, ensemble=3, min_cells=40)
    html = Path(report(folder, made).url or "").read_text()
    return parsed(html), html, ad.read_zarr(made.url)


def test_it_warns_of_clusters_that_other_seeds_do_not_find(unsteady: tuple[Page, str, ad.AnnData]) -> None:
    page, html, result = unsteady
    tree = result.uns["clustering"]["tree"].query("level > 0")
    whole = {(row.level + 1, row.cluster) for row in tree[tree["reason"] != ""].itertuples()}
    made = tree[[(row.level, row.parent) not in whole for row in tree.itertuples()]]
    low = made[made["stability"] < 0.5]
    assert 0 < len(low) < len(made) < len(tree)
    said = re.search(r'<li id="unstable">(.*?)<details', html)
    assert said
    assert said.group(1) == (
        f"{len(low)} of {len(made)} clusters have a stability below 0.5: other seeds do not find them again."
    )
    warned = "".join(page.text)
    for row in low[:5].itertuples():
        assert f"{row.cluster} ({min(row.stability, 0.494):.2f})" in warned
    assert "No warnings" not in warned
    assert "Single runs" not in warned
    assert page.facts["trees"][0]["stability"].count(None) == 0


def test_the_columns_tell_of_the_runs_of_level_1(unsteady: tuple[Page, str, ad.AnnData]) -> None:
    _, html, result = unsteady
    facts = json.loads(str(result.uns["clustering"]["columns"]))["leiden_1.0_1"]
    table = html[html.index('id="columns"') :]
    assert ">runs</th>" in table
    first, second = (re.search(rf"leiden_1\.0_{level}</th>(.*?)</tr>", table) for level in (1, 2))
    assert first
    assert second
    assert f">{facts['agreement']:.2f}</td>" in first.group(1)
    runs, agreement = re.findall(r">([^<>]*)</td>", second.group(1))[7:9]
    assert (runs, agreement) == ("3", "")


def test_the_stability_of_a_cell_is_the_results(unsteady: tuple[Page, str, ad.AnnData]) -> None:
    page, _, result = unsteady
    assert [(of["name"], of["tree"], of["level"], of["missing"]) for of in page.facts["stability"]] == [
        ("leiden_1.0_1_stability", 0, 0, 0), ("leiden_1.0_2_stability", 0, 1, 0),
    ]  # fmt: skip
    stored = np.asarray(result.obsm["clustering_stability"])
    for level in range(2):
        shown = (page.array(f"stability/{level}").astype(float) - 1) / 254
        assert np.abs(np.sort(shown) - np.sort(stored[:, level])).max() <= 0.0225
        assert len(np.unique(shown)) <= 26


def test_single_runs_are_told_in_one_sentence(tmp_path: Path) -> None:
    asked = {"algorithm": ["leiden", "louvain"], "ensemble": 3}
    asked["hierarchy"] = {"levels": {2: {"ensemble": 1}}}
    html = Path(report(tmp_path, cloud(tmp_path, **asked)).url or "").read_text()
    (said,) = re.findall(r"<dt>Single runs</dt><dd>(.*?)</dd>", html)
    assert said == (
        "One run was made of leiden_1.0_2, louvain 1.0, so it is not known which of these clusters another seed would "
        "find; of Leiden, the key `ensemble` tells."
    )
    page = parsed(html)
    assert "leiden_1.0_1_stability" in [of["name"] for of in page.facts["stability"]]
    assert all(of["tree"] == 0 for of in page.facts["stability"])
    assert "stability" in page.facts["trees"][0]
    assert "stability" not in page.facts["trees"][1]


def test_older_results_tell_nothing_of_runs() -> None:
    html = page(subject_of_size(500, 2), "key").decode()
    found = parsed(html)
    assert found.facts["stability"] == []
    assert all("stability" not in tree for tree in found.facts["trees"])
    assert "Single runs" not in html
    assert 'id="unstable"' not in html
    assert "No warnings" in html
    assert ">runs</th>" not in html


def test_no_cells_and_no_trees() -> None:
    empty = Subject("e/e", 0, pd.DataFrame({"column": [], "level": []}), {}, {}, None)
    assert parsed(page(empty, "k")).facts["trees"] == []


def test_cells_are_chosen_by_a_seed_and_no_cluster_is_left_out() -> None:
    n = 20_000
    codes = np.zeros(n, np.int32)
    codes[7:10] = 1
    usable = np.ones(n, bool)
    usable[0] = False
    rows = chosen(n, 1000, [codes], usable)
    assert np.array_equal(rows, chosen(n, 1000, [codes], usable))
    assert {7, 8, 9} <= set(rows)
    assert 0 not in rows
    assert 1000 <= len(rows) <= 1023
    assert len(chosen(n, n, [codes], usable)) == n - 1


def test_places_come_back() -> None:
    points = np.random.default_rng(0).normal(size=(500, 2)) * [3, 1]
    x, y = quantised(points)
    assert x.min() == y.min() == 0
    assert x.max() == 65_535
    scale = np.ptp(points[:, 0]) / 65_535
    assert np.abs(y * scale + points[:, 1].min() - points[:, 1]).max() <= scale
    order = near_each_other(x, y)
    assert sorted(order) == list(range(500))
    assert np.array_equal(np.cumsum(steps_between(x[order]).astype(int)) % 65_536, x[order])
    jumps = np.abs(np.diff(x[order].astype(int)))
    assert jumps.mean() < np.abs(np.diff(x.astype(int))).mean() / 3


def test_the_rarest_of_many_categories_are_one() -> None:
    texts = pd.Series([f"c{i % 400}" if i >= 400 else f"c{i % 3}" for i in range(2000)])
    found = rarest_as_one(categories_of(texts, "x"))
    assert isinstance(found, Categories)
    assert len(found.labels) == 250
    assert found.labels[-1] == "151 rarer ones"
    assert found.labels[:3] == ("c0", "c1", "c2")
    assert found.codes.min() == 0
    assert found.counts().sum() == 2000
    assert all(label in found.colors for label in found.labels)


def test_numbers_are_binned_without_their_outermost() -> None:
    assert binned(Numbers("x", np.array([1.0, np.nan, 4.0]))).codes.tolist() == [0, -1, 23]
    assert binned(Numbers("x", np.full(3, np.nan))).codes.tolist() == [-1, -1, -1]
    assert binned(Numbers("x", np.full(3, 2.0))).codes.tolist() == [0, 0, 0]
    heavy = binned(Numbers("x", np.append(np.arange(999.0), 1e9)))
    assert heavy.high < 1000
    assert heavy.most == 1e9


def test_the_index_links_relatively_and_says_what_failed() -> None:
    rows = [
        IndexRow(name="a b/f#1", report="/out/images/clustering/dataset~a b/file_id~f#1/report.html",
                 result="/out/x.zarr", clusters={"leiden_0.5_1": 1234}, notices=("<mind>",)),
        IndexRow(name="bad/f", error=f"no such file {NAUGHTY}"),
    ]  # fmt: skip
    html = index_page(rows, "/out/images", "now", "key").decode()
    page: Page = parsed(html)
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    assert "clustering/dataset~a%20b/file_id~f%231/report.html" in links
    text = "".join(page.text)
    for said in ("leiden_0.5_1 (1,234)", "failed", "done, with warnings", "<mind>", NAUGHTY):
        assert said in text
    assert not addresses(html)


def test_templates_escape_what_they_are_given_and_miss_nothing() -> None:
    row = {"name": NAUGHTY, "link": "a\"b'c", "status": "<i>", "columns": "x\0y", "result": NAUGHTY}
    parts = {"rows": [row], "said": [(NAUGHTY, "<b>\0")], "summary": NAUGHTY}
    found = parsed(document("index.html", NAUGHTY, ("dom",), **parts))
    assert {tag for tag, _ in found.tags} & {"img", "b", "i"} == set()
    assert [a["href"] for tag, a in found.tags if tag == "a" and a.get("class") != "skip"] == [row["link"]]
    assert "x\ufffdy" in found.text
    assert {NAUGHTY} == {a["content"] for _, a in found.tags if a.get("name") == "cellstrata-key"}
    with pytest.raises(UndefinedError, match="summary"):
        document("index.html", "key", ("dom",), rows=[], said=[])


def test_points_without_a_place_are_counted() -> None:
    subject = subject_of_size(200, 1)
    assert subject.view is not None
    points = subject.view.points.copy()
    points[3] = np.nan
    moved = replace(subject, view=View("UMAP", "", points))
    view = parsed(page(moved, "k")).facts["view"]
    assert (view["shown"], view["unplaced"]) == (199, 1)


def test_genes_colour_the_plot(tmp_path: Path) -> None:
    """Those that are named, and no more than there is room for; what few cells have is seen, missing values are 0."""
    n, names = 400, [f"G{i}" for i in range(GENES + 6)]
    adata = ad.read_h5ad(write_cells(tmp_path, n=n))
    values = sp.random(n, len(names), 0.3, "csr", np.float32, np.random.default_rng(0)).toarray()
    values[:, 1] = 0
    values[7, 1] = 5  # so few that it is beyond the outermost half percent
    values[3, 0] = np.nan
    whole = ad.AnnData(values, adata.obs, pd.DataFrame(index=names), obsm=dict(adata.obsm))
    whole.write_h5ad(tmp_path / "genes.h5ad")
    asked = {"resolutions": [0.5], "umap_colors": ["donor", *names, "leiden_0.5_1"], "neighbors": {"n_neighbors": 10}}
    found = report(tmp_path, make_result(tmp_path, str(tmp_path / "genes.h5ad"), asked))
    page = parsed(Path(found.url).read_text())
    assert [gene["name"] for gene in page.facts["genes"]] == names[:GENES]
    assert [covariate["name"] for covariate in page.facts["covariates"]] == ["donor"]
    assert "G24, G25, G26, G27, G28, G29: it has room for 24 genes" in "".join(page.text)
    assert sorted(page.array("gene/1"))[-2:] == [1, 255]
    assert page.facts["genes"][0]["missing"] == 1
    assert (page.array("gene/0") == 0).sum() == 1
    x, y = (np.cumsum(page.array(axis).astype(np.uint16), dtype=np.uint16) for axis in "xy")
    of_place = dict(zip(zip(x, y, strict=True), page.array("gene/2"), strict=True))
    codes = [of_place[place] for place in zip(*quantised(np.asarray(whole.obsm["X_umap"])), strict=True)]
    assert np.corrcoef(codes, values[:, 2])[0, 1] > 0.99


def test_a_million_cells_with_genes_take_less_than_ten_megabytes() -> None:
    subject = subject_of_size(260_000, 6)
    rng = np.random.default_rng(0)
    genes = tuple(Numbers(f"G{i}", rng.gamma(1.0, 1.0, 260_000)) for i in range(GENES))
    html = page(replace(subject, genes=genes), "key")
    assert len(html) < 10_000_000
    assert parsed(html).facts["view"]["shown"] > 90_000

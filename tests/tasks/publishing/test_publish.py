from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import anndata as ad
import fsspec
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.elements.ownership import is_ours
from cellstrata.tasks.publishing.input_elements import Converted, Copied
from cellstrata.tasks.publishing.publish import InputError, OutputError, PublishReport, publish, write_labels_parquet
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.states import ZarrListing
from cellstrata.tasks.stores.store import Store
from tests.no_warnings import no_warnings
from tests.tasks.everything import FORMATS, N, assert_kept, load, save, saved, tree_hash
from tests.tasks.places import opened

RNG = np.random.default_rng(0)
LABELS = {
    "leiden_0.5_1": pd.Categorical([str(i % 3) for i in range(N)]),
    "leiden_0.5_2": pd.Categorical([f"{i % 3}_{i % 2}" for i in range(N)]),
}
UMAP = RNG.normal(size=(N, 2)).astype(np.float32)
GRAPH = sp.csr_matrix(sp.random(N, N, 0.2, random_state=3), dtype=np.float32)
RECORD = {"clustering": {"config": "{}", "seed": 0}}
ADDED = {"obs": list(LABELS), "obsm": ["X_umap"], "obsp": ["ours"], "uns": ["clustering"]}


def ours(source: str, target: str, **more: Any) -> PublishReport:
    entries = {"obs": LABELS, "obsm": {"X_umap": UMAP}, "obsp": {"ours": GRAPH}, "uns": RECORD}
    return publish(opened(source), Place(target), **{**entries, **more})


def links_in(folder: str) -> dict[str, str]:
    found = {}
    for inner, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(inner, name)
            if os.path.islink(path):
                found[os.path.relpath(path, folder)] = os.readlink(path)
    return found


@pytest.mark.parametrize(
    ("form", "link"),
    [("h5ad", "auto"), ("zarr2", "symlink"), ("zarr3", "auto"), ("zarr2", "copy"), ("zarr3", "copy")],
)
def test_everything_is_kept_and_ours_is_added(tmp_path: Path, form: str, link: str) -> None:
    source, out = saved(tmp_path, form), str(tmp_path / "deep" / "out.zarr")
    before = tree_hash(source)
    with no_warnings(DeprecationWarning):
        report = ours(source, out, link=link)
    assert tree_hash(source) == before
    assert os.listdir(tmp_path / "deep") == ["out.zarr"]
    new = load(out)
    assert_kept(load(source), new, ADDED)
    for name, labels in LABELS.items():
        assert list(new.obs[name]) == list(labels)
        assert isinstance(new.obs[name].dtype, pd.CategoricalDtype)
    assert np.array_equal(new.obsm["X_umap"], UMAP)
    assert (new.obsp["ours"] != GRAPH).nnz == 0
    assert new.uns["clustering"] == {**RECORD["clustering"], "made_by": "cellstrata"}
    linked = form != "h5ad" and link != "copy"
    assert report.mode == ("linked" if linked else "converted" if form == "h5ad" else "copied")
    assert (report.linked > 0) == bool(links_in(out)) == linked
    assert report.bytes_written > 0
    format_in = 2 if form == "h5ad" else int(form[-1])
    for consolidated in (True, False):
        root = zarr.open_group(out, mode="r", use_consolidated=consolidated)
        assert root.metadata.zarr_format == format_in
        columns: Any = root["obs"]
        assert set(LABELS) <= set(columns.keys())
        assert columns.attrs["column-order"][-2:] == list(LABELS)


def test_links_are_relative_and_move_with_both_folders(tmp_path: Path) -> None:
    (tmp_path / "here" / "data").mkdir(parents=True)
    source, out = (
        saved(tmp_path / "here" / "data", "zarr3"),
        str(tmp_path / "here" / "results" / "a" / "out.zarr"),
    )
    ours(source, out)
    links = links_in(out)
    assert {"X", "layers", "var", "varm", "varp", "raw"} <= set(links)
    assert {"obs/code", "obsm/X_pca", "obsp/connectivities", "uns/neighbors"} <= set(links)
    assert not any(os.path.isabs(link) for link in links.values())
    assert not any(os.path.islink(file) for file in Path(out).iterdir() if file.is_file())
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = str(tmp_path / "there" / "results" / "a" / "out.zarr")
    assert_kept(load(str(tmp_path / "there" / "data" / "in.zarr")), load(moved), ADDED)


def test_a_result_as_input_links_to_the_origin(tmp_path: Path) -> None:
    source = saved(tmp_path, "zarr2")
    first, second = str(tmp_path / "one.zarr"), str(tmp_path / "x" / "two.zarr")
    ours(source, first)
    more = {"third": LABELS["leiden_0.5_1"]}
    publish(opened(first), Place(second), obs=more, uns=RECORD)
    assert_kept(load(first), load(second), {"obs": ["third"]})
    assert links_in(second)["X"] == "../../in.zarr/X"
    assert links_in(second)["obsm/X_pca"] == "../../../in.zarr/obsm/X_pca"
    assert links_in(second)["obsm/X_umap"] == "../../../one.zarr/obsm/X_umap"
    before = tree_hash(first)
    with pytest.raises(OutputError, match="links to"):
        publish(opened(second), Place(first))
    assert tree_hash(first) == before


def test_a_linked_parent_folder_and_a_dangling_link(tmp_path: Path) -> None:
    source = saved(tmp_path, "zarr2")
    (tmp_path / "real" / "far").mkdir(parents=True)
    (tmp_path / "short").symlink_to(tmp_path / "real" / "far")
    ours(source, str(tmp_path / "short" / "out.zarr"))
    assert_kept(load(source), load(str(tmp_path / "short" / "out.zarr")), ADDED)
    shutil.rmtree(tmp_path / "in.zarr" / "layers")
    (tmp_path / "in.zarr" / "layers").symlink_to("gone")
    with pytest.raises(InputError, match="layers"):
        ours(source, str(tmp_path / "out.zarr"))


REMOVING = [("h5ad", "copy"), ("zarr2", "symlink"), ("zarr3", "symlink"), ("zarr3", "copy"), ("zarr3", "reference")]


@pytest.mark.parametrize(("form", "link"), REMOVING)
def test_entries_that_are_to_go_are_not_in_the_result(tmp_path: Path, form: str, link: str) -> None:
    source, out = saved(tmp_path, form), str(tmp_path / "out.zarr")
    before = tree_hash(source)
    publish(opened(source), Place(out), obs=LABELS, link=link, removed=["obsm/half", "obsm/nothing", "uns/number"])
    assert tree_hash(source) == before
    old = load(source)
    new = open_linked(out) if link == "reference" else load(out)
    assert set(new.obsm) == set(old.obsm) - {"half"}
    assert np.array_equal(new.obsm["X_pca"], old.obsm["X_pca"])
    assert set(new.obsp) == set(old.obsp)
    assert "number" not in new.uns


@pytest.mark.parametrize("form", ["h5ad", "zarr2"])
def test_a_column_that_exists_is_replaced_in_its_place(tmp_path: Path, form: str) -> None:
    source, out = saved(tmp_path, form), str(tmp_path / "out.zarr")
    order = list(load(source).obs.columns)
    labels = {"new": LABELS["leiden_0.5_1"], "code": LABELS["leiden_0.5_2"]}
    publish(
        opened(source),
        Place(out),
        obs=labels,
        obsm={"X_pca": UMAP},
        uns={"text": "ours"},
        removed=["uns/number"],
    )
    new = load(out)
    assert list(new.obs.columns) == [*order, "new"]
    assert list(new.obs["code"]) == list(labels["code"])
    assert np.array_equal(new.obsm["X_pca"], UMAP)
    assert new.uns["text"] == "ours"
    assert "number" not in new.uns
    assert new.uns["real"] == 0.25


def test_an_older_result_is_shared_and_not_converted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = saved(tmp_path, "h5ad"), str(tmp_path / "out.zarr")
    changed = {"code": LABELS["leiden_0.5_1"]}
    publish(opened(source), Place(out), obs=changed, obsm={"X_pca": UMAP, "X_umap": UMAP}, uns={"text": "ours"})
    asked = []
    copy = Converted.place

    def watched(self: Any, path: str) -> None:
        before = self.linked
        copy(self, path)
        if self.linked == before:
            asked.append(path)

    monkeypatch.setattr(Converted, "place", watched)
    report = publish(opened(source), Place(out), obs=LABELS, uns=RECORD, reuse=out)
    # only what the older result had of its own is taken from the input again
    assert sorted(asked) == ["obs/code", "obsm/X_pca", "uns/text"]
    assert report.linked > 10
    assert_kept(load(source), load(out), {"obs": list(LABELS), "uns": ["clustering"]})
    assert publish(opened(source), Place(out), reuse=str(tmp_path / "absent.zarr")).linked == 0


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_a_failure_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    source, out = saved(tmp_path, form), str(tmp_path / "o" / "out.zarr")
    ours(source, out)
    before = tree_hash(out)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(zarr, "consolidate_metadata", broken)
    with pytest.raises(RuntimeError, match="luck"):
        publish(opened(source), Place(out))
    assert tree_hash(out) == before
    assert os.listdir(tmp_path / "o") == ["out.zarr"]


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_a_bucket_gets_the_same(tmp_path: Path, form: str) -> None:
    source, out = saved(tmp_path, form), f"memory://{tmp_path.name}/out.zarr"
    report = ours(source, out, link="copy")
    assert report.mode == ("converted" if form == "h5ad" else "copied")
    ours(source, out, obs={"other": LABELS["leiden_0.5_1"]}, link="copy")
    assert is_ours(Place(out))
    files = fsspec.filesystem("memory").find(f"/{tmp_path.name}")
    assert not any("leiden_0.5_1" in file for file in files)
    back = str(tmp_path / "back.zarr")
    assert publish(opened(out), Place(back), uns=RECORD, link="copy").mode == "copied"
    assert_kept(load(source), load(back), {**ADDED, "obs": ["other"]})


@pytest.mark.parametrize("form", ["zarr2", "zarr3"])
@pytest.mark.parametrize("whole", [True, False], ids=["its root", "one folder, as zip -r leaves it"])
def test_a_zip_is_copied(tmp_path: Path, form: str, whole: bool) -> None:
    source, out = saved(tmp_path, form), str(tmp_path / "out.zarr")
    root, what = (source, ".") if whole else (tmp_path, Path(source).name)
    packed = shutil.make_archive(str(tmp_path / "packed.zarr"), "zip", root, what)
    assert ours(packed, out).mode == "copied"
    assert_kept(load(source), load(out), ADDED)


def test_an_input_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, url = saved(tmp_path, "zarr2"), f"memory://{tmp_path.name}/in.zarr"
    publish(opened(source), Place(url), link="copy")
    names, walk = Store.list, ZarrListing.of
    monkeypatch.setattr(Store, "list", lambda self, key="": [n for n in names(self, key) if n != "code"])
    monkeypatch.setattr(
        ZarrListing, "of", lambda *a: ZarrListing({k: v for k, v in walk(*a).marks.items() if "code" not in k})
    )
    for link in ("copy", "reference"):
        with pytest.raises(InputError, match="code"):
            ours(url, str(tmp_path / "out.zarr"), link=link)


def test_an_interrupted_upload_is_no_store_and_still_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = saved(tmp_path, "zarr2"), f"memory://{tmp_path.name}/out.zarr"

    def broken(self: Any, target: Any) -> int:
        raise OSError("the network is gone")

    ours(source, out, link="copy")
    with monkeypatch.context() as patch:
        patch.setattr(Copied, "finish", broken)
        with pytest.raises(OSError, match="network"):
            ours(source, out, link="copy")
    with pytest.raises(InputError):
        publish(opened(out), Place(str(tmp_path / "x.zarr")))
    assert is_ours(Place(out))
    ours(source, out, link="copy")
    assert publish(opened(out), Place(str(tmp_path / "x.zarr")), link="copy").mode == "copied"


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    source = saved(tmp_path, "zarr2")
    other = save(ad.AnnData(np.zeros((2, 2), np.float32)), tmp_path, "zarr2", "other")
    assert not is_ours(Place(other))
    assert not is_ours(Place(str(tmp_path / "absent.zarr")))
    (tmp_path / "file.zarr").write_text("x")
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "alias.zarr").symlink_to("in.zarr")
    before = tree_hash(source)
    for target in (other, str(tmp_path / "file.zarr")):
        with pytest.raises(OutputError, match="not made by cellstrata"):
            ours(source, target)
    for target in (source, f"{source}/out.zarr", str(tmp_path), str(tmp_path / "alias.zarr")):
        with pytest.raises(OutputError, match="lies in the input"):
            ours(source, target)
    with pytest.raises(OutputError, match="auto"):
        ours(saved(tmp_path, "h5ad"), str(tmp_path / "out.zarr"), link="symlink")
    assert tree_hash(source) == before
    ours(source, str(tmp_path / "empty.zarr"))
    assert is_ours(Place(str(tmp_path / "empty.zarr")))


def test_entries_must_fit(tmp_path: Path) -> None:
    source, out = saved(tmp_path, "zarr2"), str(tmp_path / "out.zarr")
    for entries in (
        {"obs": {"a": pd.Categorical(["0"])}},
        {"obsm": {"a": UMAP[:3]}},
        {"obsp": {"a": GRAPH[:, :3]}},
        {"obs": {"_index": LABELS["leiden_0.5_1"]}},
    ):
        with pytest.raises(ValueError, match=r"shape|index"):
            publish(opened(source), Place(out), **entries)
    assert not os.path.exists(out)


@pytest.mark.parametrize("form", FORMATS)
def test_the_smallest_input(tmp_path: Path, form: str) -> None:
    obs = pd.DataFrame(index=pd.Index(["a", "b"], name="barcode"))
    source, out = save(ad.AnnData(obs=obs), tmp_path, form), str(tmp_path / "out.zarr")
    publish(opened(source), Place(out), obs={"x": pd.Categorical(["0", "1"])})
    assert_kept(load(source), load(out), {"obs": ["x"], "uns": ["clustering"]})


def test_labels_as_parquet(tmp_path: Path) -> None:
    names = np.array(["1", "1", "x", *map(str, range(N - 3))], dtype=object)
    for url in (str(tmp_path / "labels.parquet"), f"memory://{tmp_path.name}/labels.parquet"):
        assert write_labels_parquet(Place(url), names, LABELS) > 0
        frame = pd.read_parquet(url)
        assert list(frame.index) == list(names)
        assert frame.index.name == "obs_name"
        assert list(frame.columns) == list(LABELS)
        for name, labels in LABELS.items():
            assert isinstance(frame[name].dtype, pd.CategoricalDtype)
            assert list(frame[name]) == list(labels)
    assert os.listdir(tmp_path) == ["labels.parquet"]

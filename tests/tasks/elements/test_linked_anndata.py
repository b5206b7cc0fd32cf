"""Results that refer to their input: on disks, in memory, and in a bucket of a real S3 endpoint."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import fsspec
import numpy as np
import pandas as pd
import pytest
import zarr

from cellstrata.tasks.elements.linked_anndata import linked_store, open_linked
from cellstrata.tasks.elements.opening import DataError, InputError, kind_of
from cellstrata.tasks.elements.ownership import is_foreign, is_ours
from cellstrata.tasks.overlays.document import DOCUMENT
from cellstrata.tasks.publishing.link_mode import link_problem
from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.publishing.publish import OutputError, publish
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.states import ZarrListing
from cellstrata.tasks.stores.store import Store
from tests.tasks.everything import FORMATS, assert_kept, load, save, saved, tree_hash
from tests.tasks.places import opened
from tests.tasks.publishing.test_publish import ADDED, GRAPH, LABELS, RECORD, UMAP, ours
from tests.tasks.slow_renewals import HeldUp


def put(source: str, url: str) -> str:
    """Copy a file or folder to a bucket, as it is."""
    place = Store.at(url)
    place.fs.put(source, place.root, recursive=os.path.isdir(source))
    return url


def read(url: str) -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not unique")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return open_linked(url)


def document(url: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Store.at(url).read(DOCUMENT))
    return found


def state(url: str) -> Any:
    place = Store.at(url)
    return ZarrListing.of(place).marks if not place.is_file() else place.fs.info(place.root)["ETag"]


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_in_a_bucket_everything_is_kept_and_ours_is_added(tmp_path: Path, s3: str, form: str) -> None:
    local = saved(tmp_path, form)
    source, out = put(local, f"{s3}/in.{'h5ad' if form == 'h5ad' else 'zarr'}"), f"{s3}/deep/out.zarr"
    before = state(source)
    report = ours(source, out)
    assert report.mode == "referenced"
    assert report.linked > 10
    assert state(source) == before
    assert kind_of(Place(out)) == "overlay"
    assert is_ours(Place(out))
    assert_kept(load(local), read(out), ADDED)
    assert np.array_equal(zarr.open_group(linked_store(out), mode="r")["obsm/X_umap"][:], UMAP)

    # what fsspec's own reader makes of the document
    theirs = fsspec.filesystem("reference", fo=document(out), remote_protocol="s3")
    for key in ("obsm/X_pca/.zarray", "obsm/X_pca/0.0") if form == "h5ad" else ("obsm/X_pca/c/0/0",):
        assert theirs.cat_file(key) == linked_store(out).read(key)  # type: ignore[attr-defined]

    # its own elements are a zarr by themselves, with the cells and nothing that is not there
    own = read(f"{out}/{document(out)['cellstrata']['own']}/new.zarr")
    assert list(own.obs.columns) == list(LABELS)
    assert list(own.obs_names) == list(load(local).obs_names)
    assert list(own.obsm) == ["X_umap"]
    assert list(own.uns) == ["clustering"]

    for place in (f"{s3}/whole.zarr", str(tmp_path / "whole.zarr")):
        made = materialize(out, place)
        assert made.bytes > 0
        assert kind_of(Place(place)) == "zarr"
        back = load(place) if not place.startswith("s3") else read(place)
        assert_kept(load(local), back, ADDED)


@pytest.mark.parametrize("form", FORMATS)
def test_across_stores_and_on_one_disk(tmp_path: Path, form: str) -> None:
    local = saved(tmp_path, form)
    before = tree_hash(local)
    for number, (source, out) in enumerate(
        [
            (local, str(tmp_path / "o" / "out.zarr")),
            (local, f"memory://{tmp_path.name}/out.zarr"),
            (put(local, f"memory://{tmp_path.name}/in"), str(tmp_path / "o" / "from.zarr")),
        ]
    ):
        assert ours(source, out, link="reference" if not number else "auto").mode == "referenced"
        assert_kept(load(local), read(out), ADDED)
        if not number:
            materialize(out, str(tmp_path / "whole.zarr"))
            assert_kept(load(local), load(str(tmp_path / "whole.zarr")), ADDED)
    assert tree_hash(local) == before
    moved = str(tmp_path / "moved.zarr")
    shutil.move(tmp_path / "o" / "out.zarr", moved)
    assert_kept(load(local), read(moved), ADDED)
    assert sorted(os.listdir(tmp_path / "o")) == ["from.zarr"]


def test_references_to_references_lead_to_the_source(tmp_path: Path) -> None:
    local = saved(tmp_path, "zarr2")
    here = f"memory://{tmp_path.name}"
    source = put(local, f"{here}/in.zarr")
    ours(source, f"{here}/one.zarr")
    third = {"third": LABELS["leiden_0.5_1"]}
    assert publish(opened(f"{here}/one.zarr"), Place(f"{here}/two.zarr"), obs=third, uns=RECORD).mode == "referenced"
    added = {**ADDED, "obs": [*LABELS, "third"]}
    assert_kept(load(local), read(f"{here}/two.zarr"), added)
    urls = {value[0] for value in document(f"{here}/two.zarr")["refs"].values() if isinstance(value, list)}
    own = document(f"{here}/one.zarr")["cellstrata"]["own"]
    named = {entry["url"] for entry in document(f"{here}/two.zarr")["cellstrata"]["sources"]}
    assert {source, f"{here}/one.zarr/{own}/new.zarr"} <= named
    assert not any("one.zarr/obsm" in url for url in urls)
    with pytest.raises(OutputError, match="refers to"):
        publish(opened(f"{here}/two.zarr"), Place(f"{here}/one.zarr"))
    # the links of a linked result are followed too
    linked = str(tmp_path / "linked.zarr")
    ours(local, linked)
    publish(opened(linked), Place(f"{here}/three.zarr"), obs=third, uns=RECORD)
    assert_kept(load(linked), read(f"{here}/three.zarr"), {"obs": ["third"]})
    kinds = {entry["url"]: set(entry["elements"]) for entry in document(f"{here}/three.zarr")["cellstrata"]["sources"]}
    assert {"X", "layers", "obsm/X_pca"} <= kinds[local]
    assert {"obsm/X_umap"} <= kinds[linked]


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_a_source_that_changes_or_goes_is_named(tmp_path: Path, s3: str, form: str) -> None:
    local = saved(tmp_path, form)
    s3 = s3 if form == "h5ad" else f"memory://{tmp_path.name}"
    source, out = put(local, f"{s3}/in"), f"{s3}/out.zarr"
    ours(source, out)
    place = Store.at(source)
    key = "" if form == "h5ad" else next(k for k in place.walk("obsm/X_pca") if not k.endswith(".json"))
    bytes_before = place.read(key)
    place.write(key, bytes_before[:-1] + b"\x00\x01")
    root = zarr.open_group(linked_store(out), mode="r")
    with pytest.raises(InputError, match=r"in, which has changed since: it was .*, and is .*; restore it, or"):
        root["obsm/X_pca"][:]
    if form != "h5ad":
        assert root["obsm/big"][:].shape == (60, 3)  # what has not changed can be read
    with pytest.raises(InputError, match="has changed"):
        materialize(out, f"{s3}/whole.zarr")
    with pytest.raises(InputError, match="has changed"):
        publish(opened(out), Place(f"{s3}/next.zarr"))
    place.remove(key or "")
    with pytest.raises(InputError, match=r"has gone|has changed"):
        read(out)
    assert np.array_equal(root["obsm/X_umap"][:], UMAP)
    assert not Store.at(f"{s3}/whole.zarr").exists()


def test_a_chunk_that_goes_later_is_no_fill_value(tmp_path: Path) -> None:
    source = put(saved(tmp_path, "zarr2"), f"memory://{tmp_path.name}/in.zarr")
    out = f"memory://{tmp_path.name}/out.zarr"
    ours(source, out)
    root = zarr.open_group(linked_store(out), mode="r")
    assert root["obsm/X_pca"][:].any()  # compared with its state, for this reader
    Store.at(source).remove("obsm/X_pca/0.0")
    with pytest.raises(InputError, match="which has gone"):
        root["obsm/X_pca"][:]
    Store.at(out).remove(f"{document(out)['cellstrata']['own']}/new.zarr/obsm/X_umap/0.0")
    with pytest.raises(InputError, match="run again"):
        root["obsm/X_umap"][:]


def test_a_linked_result_tells_what_has_changed_too(tmp_path: Path) -> None:
    source, out = saved(tmp_path, "zarr2"), str(tmp_path / "out.zarr")
    ours(source, out)
    assert_kept(load(source), read(out), ADDED)
    shutil.move(tmp_path / "in.zarr", tmp_path / "away")
    with pytest.raises(InputError, match="has gone"):
        read(out)
    with pytest.raises(InputError, match="has gone"):
        materialize(out, str(tmp_path / "whole.zarr"))
    shutil.move(tmp_path / "away", tmp_path / "in.zarr")
    made = materialize(Path(out), tmp_path / "whole.zarr")
    assert_kept(load(source), read(Path(out)), ADDED)
    assert made.objects > 100
    assert_kept(load(source), load(str(tmp_path / "whole.zarr")), ADDED)
    assert not any(os.path.islink(Path(d) / n) for d, names, _ in os.walk(tmp_path / "whole.zarr") for n in names)
    chunk = tmp_path / "in.zarr" / "X" / "data" / "0"
    shutil.copy2(chunk, tmp_path / "backup")
    chunk.write_bytes(b"other")
    with pytest.raises(InputError, match=r"X, which has changed since.*restore it with its times \(cp -p, rsync -t\)"):
        read(out)
    shutil.copy2(tmp_path / "backup", chunk)  # as `cp -p` does
    read(out)


def test_very_many_references_stand_in_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellstrata.tasks.overlays.document.MOST_IN_DOCUMENT", 20)
    monkeypatch.setattr("cellstrata.tasks.overlays.document.IN_A_SHARD", 7)
    local = saved(tmp_path, "zarr3")
    source, out = put(local, f"memory://{tmp_path.name}/in.zarr"), f"memory://{tmp_path.name}/out.zarr"
    ours(source, out)
    assert len(document(out)["cellstrata"]["shards"]) > 6
    assert_kept(load(local), read(out), ADDED)
    with pytest.raises(ValueError, match="version"):  # rather than fill values
        fsspec.filesystem("reference", fo=document(out), remote_protocol="memory")
    publish(opened(out), Place(str(tmp_path / "next.zarr")), obs={"third": LABELS["leiden_0.5_1"]})
    assert_kept(load(local), read(str(tmp_path / "next.zarr")), {**ADDED, "obs": [*LABELS, "third"]})


def test_what_runs_leave_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(60)]))
    local, out = save(cells, tmp_path, "zarr2"), f"memory://{tmp_path.name}/out.zarr"
    place = Store.at(out)

    def own() -> str:
        return str(document(out)["cellstrata"]["own"])

    def names() -> set[str]:  # of objects: folders in memory stay when they are empty
        return {key.partition("/")[0] for key in place.walk()}

    dead = "own~" + "d" * 32
    place.write(f"{dead}/new.zarr/obs/.zgroup", b"{}")
    assert not is_ours(Place(out))
    assert not is_foreign(Place(out))  # only what a dead run left
    ours(local, out)
    first = own()
    assert names() == {dead, first, DOCUMENT}  # it may be alive
    monkeypatch.setattr("cellstrata.tasks.overlays.own_folders.BEING_WRITTEN", -1.0)
    ours(local, out)
    second = own()
    assert names() == {first, second, DOCUMENT}  # readers may have the first open
    ours(local, out)
    assert names() == {second, own(), DOCUMENT}
    ours(local, out, link="copy")
    assert list(read(out).obs) == list(LABELS)
    assert kind_of(Place(out)) == "zarr"
    assert not [name for name in names() if name.startswith("own~")]
    ours(local, out)
    assert names() == {own(), DOCUMENT}
    place.write("mine.txt", b"x")
    place.remove(DOCUMENT)
    assert is_foreign(Place(out))


def test_an_interrupted_overlay_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local, out = saved(tmp_path, "zarr3"), f"memory://{tmp_path.name}/out.zarr"
    ours(local, out)
    write = Store.copy_to

    def broken(self: Store, key: str, other: Store) -> int:
        if key == DOCUMENT:
            raise OSError("the network is gone")
        return write(self, key, other)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "copy_to", broken)
        with pytest.raises(OSError, match="network"):
            ours(local, out, obs={"other": LABELS["leiden_0.5_1"]})
    assert_kept(load(local), read(out), ADDED)
    ours(local, out, obs={"other": LABELS["leiden_0.5_1"]})
    assert_kept(load(local), read(out), {**ADDED, "obs": ["other"]})


def test_one_writer_of_a_copy_at_a_time(tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellstrata.tasks.overlays.own_folders import WRITER
    from cellstrata.tasks.publishing import upload
    from cellstrata.tasks.stores.heartbeat import Pace

    cells = ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(60)]))
    local, out = save(cells, tmp_path, "zarr2"), f"{s3}/out.zarr"
    place = Store.at(out)
    with upload.writing(place), pytest.raises(OutputError, match="is writing a copy there"):
        ours(local, out, link="copy")
    assert not place.exists("zarr.json")
    place.write(WRITER, json.dumps({"run": "x", "host": "elsewhere", "pid": 1}).encode())
    monkeypatch.setattr(upload, "PACE", Pace(60.0, -1.0))
    ours(local, out, link="copy")  # the other is dead
    assert WRITER not in place.list()
    assert_kept(load(local), read(out), ADDED)
    with upload.writing(place) as writer:
        place.write(WRITER, json.dumps({"run": "x", "host": "elsewhere", "pid": 1}).encode())
        with pytest.raises(OutputError, match="process 1 on elsewhere"):
            writer.check()
    assert place.exists(WRITER)  # the other's


def test_a_renewal_that_takes_longer_than_the_copy_leaves_no_marker(
    tmp_path: Path, held_up: HeldUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellstrata.tasks.publishing import upload
    from cellstrata.tasks.stores.heartbeat import Pace

    monkeypatch.setattr(upload, "PACE", Pace(0.01, 600.0))
    place = Store.at(f"memory://{tmp_path.name}/out.zarr")
    with upload.writing(place):
        held_up.begin()
    held_up.let_go("cellstrata-writer")
    assert not place.list()


def test_what_cannot_be_referred_to_or_materialized(tmp_path: Path) -> None:
    source = saved(tmp_path, "zarr2")
    packed = shutil.make_archive(str(tmp_path / "packed.zarr"), "zip", source)
    with pytest.raises(OutputError, match="zip file"):
        ours(packed, str(tmp_path / "out.zarr"), link="reference")
    assert "zip file" in str(link_problem(opened(packed), Place(str(tmp_path / "out.zarr")), "reference"))
    assert "same machine" in str(link_problem(opened(source), Place("memory://any/out.zarr"), "symlink"))
    assert link_problem(opened(source), Place("memory://any/out.zarr"), "reference") is None
    gone = opened(shutil.copytree(source, str(tmp_path / "gone.zarr")))
    shutil.rmtree(gone.url)
    assert link_problem(gone, Place("memory://any/out.zarr"), "symlink") is None
    with pytest.raises(InputError, match="no result of cellstrata"):
        materialize(source, str(tmp_path / "whole.zarr"))
    ours(source, str(tmp_path / "out.zarr"))
    before = tree_hash(source)
    for target in (source, str(tmp_path / "out.zarr" / "in"), f"{source}/in", str(tmp_path)):
        with pytest.raises(OutputError):
            materialize(str(tmp_path / "out.zarr"), target, overwrite=True)
    materialize(str(tmp_path / "out.zarr"), str(tmp_path / "whole.zarr"))
    with pytest.raises(OutputError, match="--overwrite"):
        materialize(str(tmp_path / "out.zarr"), str(tmp_path / "whole.zarr"))
    materialize(str(tmp_path / "out.zarr"), str(tmp_path / "whole.zarr"), overwrite=True)
    assert tree_hash(source) == before
    with pytest.raises(DataError):
        linked_store(saved(tmp_path, "h5ad"))
    (tmp_path / "out.zarr" / DOCUMENT).write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read(str(tmp_path / "out.zarr"))
    assert (load(str(tmp_path / "whole.zarr")).obsp["ours"] != GRAPH).nnz == 0

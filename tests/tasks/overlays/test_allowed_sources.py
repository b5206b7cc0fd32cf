"""Documents of references that name what no result of cellstrata names: refused before anything of it is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.overlays import document as documents
from cellstrata.tasks.overlays.allowed_sources import options_at, refusal
from cellstrata.tasks.overlays.document import DOCUMENT
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.tasks.everything import saved
from tests.tasks.publishing.test_publish import ours

SECRET = "what only this machine's owner may read"


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A good result that refers to an h5ad, with a file of the owner's beside it."""
    out = tmp_path / "o" / "out.zarr"
    assert ours(saved(tmp_path, "h5ad"), str(out), link="reference").mode == "referenced"
    (tmp_path / "secret.txt").write_text(SECRET)
    return out


def rewritten(result: Path, change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads((result / DOCUMENT).read_text())
    change(document)
    (result / DOCUMENT).write_text(json.dumps(document))
    return str(result)


def refused(url: str) -> str:
    with pytest.raises(InputError) as error:
        open_linked(url)
    assert SECRET not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("zip://x::https://example.org/a.zip", "chain of file systems"),
        ("simplecache::s3://bucket/in.h5ad", "chain of file systems"),
        ("sftp://host/in.h5ad", "`storage_options` for sftp"),
        ("github://org:repo@main/in.h5ad", "`storage_options` for github"),
        ("reference://in", "`storage_options` for reference"),
    ],
)
def test_sources_of_other_kinds_are_refused(
    result: Path, source: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["cellstrata"]["sources"][0]["url"] = document["templates"]["s0"] = source
        document["refs"]["X/data/0"] = [f"{source}/x"]

    url = rewritten(result, change)
    monkeypatch.setattr(Store, "_file_system", None)  # whoever opens a store fails
    assert word in refused(url)


@pytest.mark.parametrize("key", ["../../secret.txt", "a/../../../secret.txt", "/etc/hostname"])
def test_keys_that_lead_out_are_refused(result: Path, key: str) -> None:
    def change(document: dict[str, Any]) -> None:
        name = next(name for name, value in document["refs"].items() if isinstance(value, list))
        document["refs"][name] = [f"{{{{own}}}}/{key}"]

    assert f"the key {key!r} leads out of its source" in refused(rewritten(result, change))


def test_elements_that_lead_out_are_refused(result: Path) -> None:
    """`materialize` would write them there."""
    url = rewritten(result, lambda found: found["refs"].update({"../x/.zgroup": "{}"}))
    assert "the key '../x/.zgroup' leads out of the result" in refused(url)


def test_keys_in_shards_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_IN_DOCUMENT", 20)
    out = tmp_path / "o" / "out.zarr"
    ours(saved(tmp_path, "zarr3"), str(out), link="reference")
    shards = sorted(out.rglob("*.parquet"))
    assert shards
    for shard in shards:
        refs = documents._from_parquet(shard.read_bytes())
        moved = [(key, documents.Ref(ref.source, f"../{ref.key}")) for key, ref in refs.items()]
        shard.write_bytes(documents._to_parquet(moved))
    assert "leads out of its source" in refused(str(out))


def test_a_file_that_the_document_does_not_know_the_state_of_is_not_read(result: Path) -> None:
    """Whoever names a file has to know its size and its time to the nanosecond: no other file is ever given out."""
    secret = result.parent.parent / "secret.txt"

    def change(document: dict[str, Any]) -> None:
        source = document["cellstrata"]["sources"][0]
        source["url"], source["size"] = str(secret), secret.stat().st_size
        document["templates"]["s0"] = f"file://{secret}"
        for name, value in document["refs"].items():
            if isinstance(value, list) and value[0] == "{{s0}}":
                document["refs"][name] = ["{{s0}}", 0, 8]

    assert "has changed since" in refused(rewritten(result, change))


def test_who_may_name_what() -> None:
    web, bucket, disk = Place("https://a.org/r.zarr"), Place("s3://b/r.zarr"), Place("/data/r.zarr")
    assert "your own disk" in str(refusal("/home/me/x.h5ad", web))
    assert refusal("/home/me/x.h5ad", bucket) is None  # written where both were at hand
    for url in ("https://b.org/in.h5ad", "s3://b/in.zarr", "gs://b/in.zarr", "az://c/in.zarr"):
        assert [refusal(url, place) for place in (web, bucket, disk)] == [None, None, None]
    assert refusal("sftp://host/in.h5ad", Place("sftp://host/r.zarr")) is None
    assert refusal("sftp://host/in.h5ad", Place("/data/r.zarr", {"sftp": {}})) is None


def test_what_was_given_for_one_web_server_is_not_sent_to_another() -> None:
    options = {"https": {"headers": {"Authorization": "Bearer token"}}}
    place = Place("https://a.org/r.zarr", options)
    assert options_at("https://a.org/in.h5ad", place) == options
    assert options_at("https://a.org.evil.example/in.h5ad", place) == {}
    assert options_at("https://b.org/in.h5ad", place) == {}

"""Whole runs with input, cache and results in Google's or Azure's store: their emulators, where installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cellstrata.flows.commands.command import main
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.claims import Claims
from cellstrata.tasks.cache_care.prune import prune
from cellstrata.tasks.cache_care.verify import verify
from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.elements.opening import kind_of
from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.flows.conftest import Run
from tests.tasks.everything import assert_kept, load
from tests.tasks.stores.emulators import Options, azure, google

LATENT: dict[str, Any] = {"algorithm": "leiden", "ensemble": 1, "neighbors": {"use_rep": "X_latent"}, "hierarchy": 2}
COLUMNS = ["leiden_1.0_1", "leiden_1.0_2"]


@pytest.fixture(params=["google", "azure"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Options]]:
    """The URL of an empty bucket, and the options to open it."""
    with google(monkeypatch) if request.param == "google" else azure() as found:
        yield found


@pytest.mark.parametrize("bucket", ["azure"], indirect=True)  # Google's emulator knows no precondition
def test_of_two_that_claim_a_cluster_one_gets_it_in_one_request(
    bucket: tuple[str, Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, options = bucket
    cache = Cache(Store.at(f"{url}/cache", options))
    monkeypatch.setattr(Claims, "_write", lambda self, key: pytest.fail("it was not created in one request"))
    with Claims(cache) as mine, Claims(cache) as theirs:
        assert mine.take("a" * 64)
        assert not theirs.take("a" * 64)
        assert theirs.met
        mine.release("a" * 64)
        assert theirs.take("a" * 64)
        assert not mine.take("a" * 64)


def test_a_run_its_repetition_and_what_becomes_of_it(
    bucket: tuple[str, Options], run: Run, blobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, options = bucket
    Store.at(f"{url}/in.h5ad", options).write("", blobs.read_bytes())

    def clustered(source: str, place: str, out: str, **config: Any) -> dict[str, Any]:
        datasets = {"d": {"input": {"clustering": {"f": source}}, "clustering": {**LATENT, "resolutions": [1.0]}}}
        found = run(DATASETS=datasets, output_dir=f"{place}/{out}", cache=f"{place}/cache", grain=300, **config)
        report: dict[str, Any] = found["datasets"]["d/f"]
        assert "error" not in report, report["error"]
        return report

    def labels(report: dict[str, Any], storage: Any = None) -> pd.DataFrame:
        return pd.read_parquet(report["labels"], storage_options=storage).astype(str)

    alone = clustered(str(blobs), str(tmp_path), "out")
    whole = alone["splits"]["executed"]
    protocol = url.partition("://")[0]
    first = clustered(f"{url}/in.h5ad", url, "out", storage_options=options, report=True)
    assert first["splits"]["executed"] == whole
    assert labels(first, options[protocol]).equals(labels(alone))
    again = clustered(f"{url}/in.h5ad", url, "again", storage_options=options)
    assert again["splits"] == {"executed": 0, "cached": whole}
    assert labels(again, options[protocol]).equals(labels(alone))

    everything = list(Store.at(url, options).walk())
    assert any(key.endswith("report.html") for key in everything)
    assert not [key for key in everything if "/claims/" in key or "/leases/" in key]
    cache = Cache(Store.at(f"{url}/cache", options))
    found = verify(cache)
    assert not found.damaged
    result, plain = first["output"], str(tmp_path / "plain.zarr")
    assert kind_of(Place(result, options)) == "overlay"
    materialize(result, plain, storage_options=options)
    added = {"obs": COLUMNS, "uns": ["clustering", "neighbors"], "obsp": ["connectivities", "distances"]}
    for read in (open_linked(result, options), load(plain)):
        assert_kept(load(str(blobs)), read, added)
        assert list(read.obs[COLUMNS[1]]) == list(labels(alone)[COLUMNS[1]])

    prune(cache, max_size=0)
    assert not [key for key in Store.at(f"{url}/cache", options).walk() if "/records/" in key or "/arrays/" in key]
    assert main(["cluster", f"{url}/nothing.h5ad", str(tmp_path / "no.zarr")]) == 2
    assert f"{url}/nothing.h5ad" in capsys.readouterr().err

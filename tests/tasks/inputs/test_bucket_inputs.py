"""Inputs in buckets, on web servers and in zip files: the same numbers, and no more bytes than are needed."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import anndata as ad
import fsspec
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from cellstrata.configs import RunConfig
from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.dataset import file_id
from cellstrata.tasks.inputs.expansion import expand
from cellstrata.tasks.inputs.inspection import Input, inspect_input
from cellstrata.tasks.stores import retries
from cellstrata.tasks.stores.digest import digest_array
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import StorageOptions, Store
from tests.faulty_proxy import FaultyProxy
from tests.tasks.small import CELLS, cache_at
from tests.tasks.stores.emulators import azure, google, web

SETTINGS: dict[str, Any] = {"recompute_neighbors": True, "neighbors": {"use_rep": "X_scvi"}, "hierarchy": 2}
CONFIG = ClusteringConfig(algorithm="leiden", resolutions=[0.5], **SETTINGS)
DIGEST = digest_array(CELLS)


def small() -> ad.AnnData:
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(CELLS))])
    return ad.AnnData(X=sp.random(len(CELLS), 40, 0.2, "csr", np.float32), obs=obs, obsm={"X_scvi": CELLS})


def write(adata: ad.AnnData, path: Path, zarr_format: int = 2, **more: Any) -> Path:
    with warnings.catch_warnings(), ad.settings.override(zarr_write_format=zarr_format):
        warnings.simplefilter("ignore")
        adata.write_h5ad(path, **more) if path.suffix == ".h5ad" else adata.write_zarr(path, **more)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write(small(), folder / "a.h5ad")
    write(small(), folder / "b.h5ad", compression="gzip")
    write(small(), folder / "v2.zarr")
    write(small(), folder / "v3.zarr", 3)
    with zipfile.ZipFile(folder / "z.zarr.zip", "w") as packed:
        for file in sorted((folder / "v2.zarr").rglob("*")):
            if file.is_file():
                packed.write(file, file.relative_to(folder / "v2.zarr").as_posix())
    return folder


NAMES = ["a.h5ad", "b.h5ad", "v2.zarr", "v3.zarr", "z.zarr.zip"]


def put(folder: Path, url: str, options: StorageOptions | None = None, names: list[str] = NAMES) -> None:
    store = Store.at(url, options)
    for name in names:
        for file in [folder / name, *(folder / name).rglob("*")]:
            if file.is_file():
                store.write(file.relative_to(folder).as_posix(), file.read_bytes())


def look(url: str, tmp_path: Path, options: StorageOptions | None = None) -> tuple[Input | None, list[str]]:
    return inspect_input(
        "d", "f", Place(url, options or {}), CONFIG, str(tmp_path / "out"), cache_at(tmp_path / "cache")
    )


def check_all(url: str, tmp_path: Path, options: StorageOptions | None = None) -> None:
    for name in NAMES:
        found, problems = look(f"{url}/{name}", tmp_path, options)
        assert found is not None, problems
        (ref,) = found.embeddings.values()
        assert ref is not None
        assert ref.digest == DIGEST, name


def test_every_form_in_s3(s3: str, files: Path, tmp_path: Path) -> None:
    put(files, f"{s3}/in")
    check_all(f"{s3}/in", tmp_path)


def test_every_form_in_memory(files: Path, tmp_path: Path) -> None:
    put(files, "memory://in")
    check_all("memory://in", tmp_path)


def test_every_form_in_googles_store(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with google(monkeypatch) as (url, options):
        put(files, f"{url}/in", options)
        check_all(f"{url}/in", tmp_path, options)
        assert paths(f"{url}/in/*.h5ad", options) == [f"{url}/in/a.h5ad", f"{url}/in/b.h5ad"]


def test_every_form_in_azures_store(files: Path, tmp_path: Path) -> None:
    with azure() as (url, options):
        put(files, f"{url}/in", options)
        check_all(f"{url}/in", tmp_path, options)
        assert paths(f"{url}/in/*.h5ad", options) == [f"{url}/in/a.h5ad", f"{url}/in/b.h5ad"]


def test_every_form_on_a_web_server(files: Path, tmp_path: Path) -> None:
    with web(files) as (url, _):
        check_all(url, tmp_path)


def test_web_servers_lead_nowhere_else(files: Path, tmp_path: Path) -> None:
    with web(files) as (url, server):
        server.redirects = {"/moved.h5ad": "/a.h5ad", "/out.h5ad": f"file://{files / 'a.h5ad'}"}
        assert look(f"{url}/moved.h5ad", tmp_path)[0] is not None
        found, problems = look(f"{url}/out.h5ad", tmp_path)
    assert found is None
    assert len(problems) == 1
    assert "redirects to where cellstrata does not follow" in problems[0]


def test_no_redirect_from_https_to_http() -> None:
    import asyncio
    from types import SimpleNamespace

    from yarl import URL

    from cellstrata.tasks.stores.faults import RedirectRefused
    from cellstrata.tasks.stores.options import options_for

    (check,) = options_for("https", {})["client_kwargs"]["trace_configs"][0].on_request_redirect

    def redirect(source: str, to: str) -> None:
        answer = SimpleNamespace(headers={"Location": to})
        asyncio.run(check(None, None, SimpleNamespace(url=URL(source), response=answer)))

    redirect("https://lab.org/a", "/b")
    redirect("http://lab.org/a", "http://other.org/b")
    with pytest.raises(RedirectRefused):
        redirect("https://lab.org/a", "http://lab.org/a")


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_no_more_bytes_than_the_embedding_whatever_x_is(
    compression: Any, s3: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    n, rng = 12_000, np.random.default_rng(0)
    obs = pd.DataFrame(
        {"kind": pd.Categorical(["a", "b"] * (n // 2))}, index=[f"AAACCTGAGAAACCAT-{i}" for i in range(n)]
    )
    embedding = rng.normal(size=(n, 50)).astype(np.float32)
    read: dict[int, float] = {}
    for genes in (30, 3000):
        x = sp.random(n, genes, 0.03, "csr", np.float32, rng=rng)
        path = tmp_path / f"{genes}.h5ad"
        write(
            ad.AnnData(x, obs, obsm={"X_scvi": embedding, "X_other": embedding[:, ::-1]}), path, compression=compression
        )
        Store.at(s3).write(path.name, path.read_bytes())
        with h5py.File(path) as file:
            index = file["obs/_index"]
            index = index["values"] if isinstance(index, h5py.Group) else index  # strings that may be missing
            names = sum(len(name) + 16 for name in index[:])  # each in a heap, with a head of 16 bytes
            needed = file["obsm/X_scvi"].id.get_storage_size() + index.id.get_storage_size() + names
        proxy.reset()
        found, problems = look(f"{s3}/{path.name}", tmp_path)
        assert found is not None, problems
        read[genes] = proxy.traffic.bytes_out / needed
        assert proxy.traffic.bytes_out < path.stat().st_size
    assert 1 <= max(read.values()) < 1.2, read
    assert abs(read[3000] - read[30]) < 0.1, read  # a block around what X's filters are told by


def test_small_chunks_are_fetched_together(s3: str, proxy: FaultyProxy, tmp_path: Path) -> None:
    path = tmp_path / "chunks.zarr"
    write(small(), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(path, mode="r+")
        del group["obsm/X_scvi"]
        made = group["obsm"].create_array("X_scvi", shape=CELLS.shape, dtype="f4", chunks=(3, CELLS.shape[1]))  # type: ignore[union-attr]
        made[:] = CELLS
        made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        zarr.consolidate_metadata(path)
    put(tmp_path, s3, names=["chunks.zarr"])
    proxy.reset()
    proxy.latency = 0.1
    found, problems = look(f"{s3}/chunks.zarr", tmp_path)
    assert found is not None, problems
    assert proxy.traffic.most_at_once > 20  # of 61 chunks; zarr's default is 10


def test_what_is_large_in_an_h5ad_is_fetched_together(
    s3: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellstrata.tasks.stores import ranges as range_file

    monkeypatch.setattr(range_file, "PART", 1 << 16)
    data = np.random.default_rng(0).bytes(1 << 20)
    Store.at(s3).write("large", data)
    proxy.reset()
    proxy.latency = 0.05
    with Store.at(s3).open("large") as file:
        assert file.read() == data
    assert proxy.traffic.most_at_once > 8
    assert proxy.traffic.bytes_out == len(data)


def paths(pattern: Any, options: StorageOptions | None = None) -> list[str]:
    config, problems = expand(run_config(pattern, options))
    assert problems == []
    return list(config.DATASETS["d"].input.clustering.values())


def run_config(inputs: Any, options: StorageOptions | None = None) -> RunConfig:
    clustering = {"algorithm": "leiden", "resolutions": [0.5]}
    datasets = {"d": {"input": {"clustering": inputs}, "clustering": clustering}}
    return RunConfig(output_dir="out", cache="cache", storage_options=options or {}, DATASETS=datasets)


def test_globs(s3: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files.parent)
    put(files, f"{s3}/in")
    for head in (s3 + "/in", str(files), files.name):
        config, problems = expand(run_config([f"{head}/*.h5ad", f"{head}/v[23].zarr"]))
        assert problems == []
        expected = [f"{head}/{name}" for name in NAMES[:4]]
        assert config.DATASETS["d"].input.clustering == {file_id(path): path for path in expected}
        assert expand(config) == (config, [])
    assert paths({"mine": f"{s3}/in/a.*"}) == [f"{s3}/in/a.h5ad"]
    assert paths("https://lab.org/a.h5ad?x=1") == ["https://lab.org/a.h5ad?x=1"]
    literal = tmp_path / "a[1].h5ad"
    shutil.copy(files / "a.h5ad", literal)
    assert paths(str(literal)) == [str(literal)]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("{}/*.h5", ["d: ", "*.h5 matches no file"]),
        ({"mine": "{}/*.h5ad"}, ["d/mine: ", "matches 2 files", "a file id names one"]),
        ({"mine": "{}/?.zarr"}, ["d/mine: ", "matches no file"]),
    ],
)
def test_globs_that_do_not_fit(inputs: Any, said: list[str], files: Path) -> None:
    filled = (
        {key: text.format(files) for key, text in inputs.items()} if isinstance(inputs, dict) else inputs.format(files)
    )
    (problem,) = expand(run_config(filled))[1]
    for words in said:
        assert words in problem


def test_an_input_that_changes_while_it_is_read_is_refused(
    s3: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellstrata.tasks.elements import reading as elements

    put(files, s3, names=["v2.zarr"])
    shutil.copytree(files / "v2.zarr", tmp_path / "v2.zarr")
    real = elements.read_obsm
    for url, change in (
        (f"{s3}/v2.zarr", lambda: Store.at(s3).write("v2.zarr/.zgroup", b'{"zarr_format": 2} ')),
        (str(tmp_path / "v2.zarr"), lambda: shutil.rmtree(tmp_path / "v2.zarr")),
    ):

        def read(*arguments: Any, change: Any = change) -> Any:
            values = real(*arguments)
            change()
            return values

        if url.startswith("s3"):
            Store.at(s3).remove("v2.zarr/.zmetadata")
        monkeypatch.setattr(elements, "read_obsm", read)
        found, problems = look(url, tmp_path)
        assert found is None
        assert "has changed or gone while it was read" in problems[0]


def test_keys_in_a_bucket_do_not_lead_out_of_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    for key in ("../x", "a/../../x", "/etc/passwd", "a\0b"):
        with pytest.raises(ValueError, match="leads out of it"):
            store.path(key)
    fsspec.filesystem("memory").pipe("/evil/obs/..", b"x")  # in a bucket a key may be called so
    with pytest.raises(ValueError, match="leads out of it"):
        Store.at("memory://evil").copy_to("obs/..", store)
    assert not (tmp_path / "store").exists()


def test_inputs_are_opened_to_read(files: Path, s3: str) -> None:
    from cellstrata.tasks.elements.opening import open_anndata

    put(files, s3, names=["v2.zarr", "a.h5ad"])
    for url in (f"{s3}/v2.zarr", str(files / "v2.zarr")):
        with open_anndata(Place(url)) as root, pytest.raises((ValueError, OSError), match="read"):
            root.attrs["x"] = 1
    for url in (f"{s3}/a.h5ad", str(files / "a.h5ad")):
        with open_anndata(Place(url)) as root, pytest.raises((ValueError, OSError)):
            root.create_group("x")


def test_retries_has_the_patience_that_the_readme_says() -> None:
    assert retries.PATIENCE == 60

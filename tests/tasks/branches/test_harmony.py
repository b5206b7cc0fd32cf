"""Batches taken out of embeddings of clusters' own: what harmonypy makes, the same in every way of asking."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_limits

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.embedding import EmbeddingConfig, HarmonyConfig
from cellstrata.tasks.branches import checks, harmony
from cellstrata.tasks.branches.checks import expression_problems
from cellstrata.tasks.branches.derivation import ONE_BATCH, derive
from cellstrata.tasks.branches.embedding import BranchRequest, embed_branches, find_branches
from cellstrata.tasks.branches.harmony import harmony_problem, mixed
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.own_embedding import OwnEmbedding
from tests.tasks.small import cache_at

Codes = npt.NDArray[np.int32]


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("harmonypy", reason="harmonypy is not installed: pip install harmonypy")


@pytest.fixture(scope="module")
def donors() -> tuple[Any, Codes]:
    """400 cells of two types and two donors, some of whose genes differ."""
    rng = np.random.default_rng(0)
    kind, donor = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    mean = np.ones((400, 60))
    mean[kind == 1, :15] = 4
    mean[donor == 1, 15:25] = 2
    data = anndata.AnnData(np.log1p(rng.poisson(mean)).astype(np.float32))
    data.obs["donor"] = np.array(["a", "b"])[donor]
    return data, donor.astype(np.int32)


def asked(**more: Any) -> EmbeddingConfig:
    return EmbeddingConfig.model_validate(
        {"method": "pca", "n_comps": 8, "batch_key": "donor", "harmony": True, **more}
    )


def apart(values: Any, codes: Codes) -> float:
    """How far the means of two batches lie from one another, in standard deviations of the cells."""
    means = [values[codes == code].mean(0) for code in (0, 1)]
    return float(np.linalg.norm(means[0] - means[1]) / values.std(0).mean())


@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_what_harmonypy_makes_of_the_pca(library: Any, donors: tuple[Any, Codes], threads: int) -> None:
    data, codes = donors
    pca = derive(data.X, asked(harmony=False, batch_key=None)).values
    with threadpool_limits(threads):
        found = derive(data.X, asked(), None, codes)
        again = derive(data.X, asked(), None, codes)
    by_hand = library.run_harmony(pca, data.obs, "donor", verbose=False, ncores=threads)
    np.testing.assert_array_equal(found.values, by_hand.Z_corr.astype(np.float32))
    np.testing.assert_array_equal(found.values, again.values)
    assert found.note is None
    assert apart(found.values, codes) < 0.3 * apart(pca, codes)


def test_parameters_are_handed_on(library: Any, donors: tuple[Any, Codes]) -> None:
    data, codes = donors
    pca = derive(data.X, asked(harmony=False, batch_key=None)).values
    found = derive(data.X, asked(harmony={"theta": 0.5, "max_iterations": 1}), None, codes).values
    by_hand = library.run_harmony(pca, data.obs, "donor", theta=0.5, max_iter_harmony=1, verbose=False)
    np.testing.assert_array_equal(found, by_hand.Z_corr.astype(np.float32))
    assert (found != derive(data.X, asked(), None, codes).values).any()


def test_a_single_batch_has_nothing_to_take_out(donors: tuple[Any, Codes]) -> None:
    data, codes = donors
    found = derive(data.X, asked(), None, np.zeros_like(codes))
    assert found.note == ONE_BATCH
    np.testing.assert_array_equal(found.values, derive(data.X, asked(harmony=False, batch_key=None)).values)


@pytest.mark.parametrize("n", [3, 8, 14, 40])
def test_few_cells(library: Any, n: int) -> None:
    values = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    codes = (np.arange(n) % 3 - 1).astype(np.int32)  # a third of them without a batch
    found = mixed(values, codes, HarmonyConfig())
    assert found is not None
    assert found.shape == values.shape
    assert np.isfinite(found).all()


def test_entries_say_what_was_not_done_and_keys_what_was_asked(
    library: Any, donors: tuple[Any, Codes], tmp_path: Path
) -> None:
    data, codes = donors
    data.write_h5ad(tmp_path / "cells.h5ad")
    cache, source = cache_at(tmp_path / "cache"), Opened.at(Place(str(tmp_path / "cells.h5ad")))
    groups = tuple(np.flatnonzero(codes == code).astype(np.int32) for code in (0, 1))
    groups = (*groups, np.arange(300, dtype=np.int32))

    def request(**more: Any) -> BranchRequest:
        return BranchRequest(source=source, asked=asked(**more), groups=groups, names=("0", "1", "2"))

    found = embed_branches(request(), cache)
    assert [own.note for own in found if isinstance(own, OwnEmbedding)] == [ONE_BATCH, ONE_BATCH, None]
    assert find_branches(request(), cache) in (found, None)  # None where the file is too new to be trusted
    assert embed_branches(request(), cache) == found
    others = [
        embed_branches(request(**more), cache)
        for more in ({"harmony": {"theta": 1}}, {"harmony": None, "batch_key": None})
    ]
    assert len({own.key for each in (found, *others) for own in each}) == 9


@pytest.mark.parametrize("there", [None, "0.0.10", "2.0.2"])
def test_a_package_that_is_missing_or_too_old(monkeypatch: Any, there: str | None) -> None:
    monkeypatch.setattr(harmony, "installed_version", lambda name: there)
    problem = harmony_problem()
    assert problem is not None
    assert "pip install 'cellstrata[harmony]'" in problem
    monkeypatch.setattr(harmony, "installed_version", lambda name: "10.0")
    assert harmony_problem() is None


def test_it_is_told_before_any_work(donors: tuple[Any, Codes], tmp_path: Path, monkeypatch: Any) -> None:
    donors[0].write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(checks, "harmony_problem", lambda: "`harmony` needs a package")
    source: Any = SimpleNamespace(
        name="d/f", url=str(tmp_path / "cells.h5ad"), opened=Opened.at(Place(str(tmp_path / "cells.h5ad")))
    )

    def problems(**more: Any) -> list[str]:
        embedding = {"method": "pca", "batch_key": "donor", "harmony": True, **more}
        settings = {"algorithm": "leiden", "resolutions": [1.0], "hierarchy": 2, "embedding": embedding}
        return expression_problems(source, ClusteringConfig.model_validate(settings))

    assert problems() == [f"d/f: {source.url}: `harmony` needs a package"]
    assert problems(harmony=False, batch_key=None) == []
    assert "did you mean `donor`?" in problems(batch_key="doner")[1]

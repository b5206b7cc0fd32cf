"""Own embeddings as entries of the cache: found by what they are made of, derived once, in one pass over the file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.tasks.branches import cells as cells_module
from cellstrata.tasks.branches import embedding
from cellstrata.tasks.branches.cells import passes, rows_of_groups
from cellstrata.tasks.branches.embedding import BranchRequest, embed_branches, find_branches
from cellstrata.tasks.elements.opening import InputError, Opened, open_anndata
from cellstrata.tasks.expression.source import find_expression
from cellstrata.tasks.inputs import index
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.own_embedding import NoEmbedding, OwnEmbedding
from tests.tasks.branches.planted import Rare
from tests.tasks.small import cache_at


def request_of(file: Path, groups: Sequence[Any], rehash: bool = False, **asked: Any) -> BranchRequest:
    config = EmbeddingConfig.model_validate({"method": "hvg_pca", "n_top_genes": 300, "n_comps": 8, **asked})
    rows = tuple(np.asarray(group, np.int32) for group in groups)
    names = tuple(str(number) for number in range(len(rows)))
    return BranchRequest(source=Opened.at(Place(str(file))), asked=config, groups=rows, names=names, rehash=rehash)


GROUPS = (np.arange(0, 900, 3), np.arange(1000, 1400))


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_rows_are_those_of_the_matrix(planted: Rare, tmp_path: Path, form: str, kind: str) -> None:
    data = planted.data[:, :200].copy()
    data.X = {"csr": data.X, "csc": sp.csc_matrix(data.X), "dense": data.X.toarray()}[form]
    path = tmp_path / f"cells.{kind}"
    data.write_h5ad(path) if kind == "h5ad" else data.write_zarr(path)
    groups = [*GROUPS, np.empty(0, int), np.arange(data.n_obs)]
    with open_anndata(Place(str(path))) as root:
        found = rows_of_groups(find_expression(root), [group.astype(np.int32) for group in groups])
    whole = data.X.toarray() if sp.issparse(data.X) else data.X
    for rows, matrix in zip(groups, found, strict=True):
        np.testing.assert_array_equal(matrix.toarray(), whole[rows])


@given(st.lists(st.integers(1, 400), max_size=30), st.integers(1, 500))
def test_passes_hold_no_more_than_the_largest(sizes: list[int], at_once: int) -> None:
    found = passes(sizes, at_once)
    assert sorted(number for one in found for number in one) == list(range(len(sizes)))
    assert all(sum(sizes[number] for number in one) <= max([at_once, *sizes]) for one in found)
    assert len(found) <= 1 + 2 * sum(sizes) // max([at_once, *sizes])  # each but one is more than half full


def test_several_passes_give_the_same(planted_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    first = embed_branches(request_of(planted_file, GROUPS), cache_at(tmp_path / "a"))
    monkeypatch.setattr(cells_module.passes, "__defaults__", (10,))
    again = embed_branches(request_of(planted_file, GROUPS), cache_at(tmp_path / "b"))
    assert again == first


def test_found_again_without_reading(planted_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(index, "RECENT", -1e9)  # a file that was written just now is not trusted otherwise
    cache = cache_at(tmp_path)
    request = request_of(planted_file, GROUPS)
    assert find_branches(request, cache) is None
    first = embed_branches(request, cache)
    assert [own.values.shape for own in first] == [(300, 8), (400, 8)]
    monkeypatch.setattr(embedding, "rows_of_groups", lambda *_: pytest.fail("the file was read again"))
    assert embed_branches(request, cache) == first
    assert find_branches(request_of(planted_file, GROUPS[1:]), cache) == first[1:]


def test_each_is_the_same_alone_and_with_others(planted_file: Path, tmp_path: Path) -> None:
    together = embed_branches(request_of(planted_file, GROUPS), cache_at(tmp_path / "a"))
    alone = [embed_branches(request_of(planted_file, [group]), cache_at(tmp_path / "b"))[0] for group in GROUPS]
    assert together == alone


def test_a_copy_under_another_name_has_the_same(planted_file: Path, tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    first = embed_branches(request_of(planted_file, GROUPS), cache)
    copy = Path(shutil.copy(planted_file, tmp_path / "renamed.h5ad"))
    request = request_of(copy, GROUPS)
    assert embed_branches(request, cache) == first


@pytest.mark.parametrize(
    "asked",
    [
        {"n_comps": 7}, {"n_top_genes": 299}, {"flavor": "cell_ranger"}, {"batch_key": "donor"}, {"scale": True},
        {"method": "pca"}, {"layer": "counts", "normalize": True},
    ],
)  # fmt: skip
def test_what_is_asked_is_in_the_key(planted_file: Path, tmp_path: Path, asked: dict[str, Any]) -> None:
    cache = cache_at(tmp_path)
    (one,), (other,) = (embed_branches(request_of(planted_file, GROUPS[:1], **each), cache) for each in ({}, asked))
    assert one.key != other.key


def test_a_damaged_entry_is_derived_again(planted_file: Path, tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    first = embed_branches(request_of(planted_file, GROUPS[:1]), cache)
    for path in (tmp_path / "v1" / "arrays").rglob("*"):
        if path.is_file() and path.name != "zarr.json" and path.stat().st_size > 5_000:
            path.write_bytes(path.read_bytes()[:-8])
    again = cache_at(tmp_path)
    assert find_branches(request_of(planted_file, GROUPS[:1]), again) is None
    assert embed_branches(request_of(planted_file, GROUPS[:1]), again) == first
    assert again.get(first[0].values).shape == (300, 8)


def test_one_pass_for_all(planted_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    passes = []
    whole = cells_module.stored_blocks

    def counted(expression: Any) -> Any:
        passes.append(expression.where)
        return whole(expression)

    monkeypatch.setattr(cells_module, "stored_blocks", counted)
    cache = cache_at(tmp_path)
    embed_branches(request_of(planted_file, GROUPS), cache)
    embed_branches(request_of(planted_file, [*GROUPS, np.arange(2000, 2200)]), cache)
    embed_branches(request_of(planted_file, GROUPS), cache)
    assert passes == ["X", "X"]


@pytest.mark.parametrize(("asked", "said"), [({"layer": "none"}, "layers['none']"), ({"raw": True}, "raw/X")])
def test_expression_that_is_not_there(planted_file: Path, tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        embed_branches(request_of(planted_file, GROUPS, **asked), cache_at(tmp_path))
    assert said in str(caught.value)
    assert str(planted_file) in str(caught.value)


def test_cells_that_have_no_embedding_are_told_once_and_the_others_derived(
    planted: Rare, tmp_path: Path, monkeypatch: Any
) -> None:
    data = planted.data[:300, :50].copy()
    same = data.X.toarray()
    same[100:200] = 1.5
    data.X = sp.csr_matrix(same)
    data.write_h5ad(tmp_path / "same.h5ad")
    cache = cache_at(tmp_path / "cache")
    request = request_of(tmp_path / "same.h5ad", [range(100), range(100, 200), range(200, 300)], method="pca")
    first, none, last = embed_branches(request, cache)
    assert isinstance(none, NoEmbedding)
    assert none.reason == "no embedding of its own: all cells have the same values of these genes"
    assert [own.values.shape for own in (first, last) if isinstance(own, OwnEmbedding)] == [(100, 8), (100, 8)]
    monkeypatch.setattr(embedding, "rows_of_groups", lambda *_: pytest.fail("the file was read again"))
    assert embed_branches(request, cache) == [first, none, last]


@pytest.mark.parametrize(("value", "said"), [(-1.0, "scaled or centered"), (np.nan, "not finite")])
def test_wrong_values_are_the_files_fault(planted: Rare, tmp_path: Path, value: float, said: str) -> None:
    data = planted.data[:300, :50].copy()
    wrong = data.X.toarray()
    wrong[150, 3] = value
    data.X = sp.csr_matrix(wrong)
    data.write_h5ad(tmp_path / "wrong.h5ad")
    cache, groups = cache_at(tmp_path / "cache"), [range(100), range(100, 200), range(200, 300)]
    with pytest.raises(InputError, match=rf"gives no embeddings of clusters: 1 holds .*{said}"):
        embed_branches(request_of(tmp_path / "wrong.h5ad", groups, method="pca"), cache)
    assert len(list((tmp_path / "cache" / "v1" / "records").rglob("*.json"))) >= 2, "the others are kept"


def test_a_branch_is_not_asked_again_what_the_matrix_holds(planted: Rare, tmp_path: Path) -> None:
    data = planted.data[:, :300].copy()
    counts = data.layers["counts"].toarray() * 0.9  # a background was taken away: no whole numbers
    counts[2000:] *= 40
    data.layers["soup"] = sp.csr_matrix(counts.astype(np.float32))
    data.write_h5ad(tmp_path / "soup.h5ad")
    request = request_of(tmp_path / "soup.h5ad", [range(1000)], layer="soup", normalize=True)
    (own,) = embed_branches(request, cache_at(tmp_path / "cache"))
    assert own.values.shape == (1000, 8)

"""What a result records of its columns: as older revisions wrote it, and read back."""

from __future__ import annotations

import json

import pytest

from cellstrata.tasks.stores.json_values import WrongJson
from cellstrata.tasks.trees.column_facts import ColumnFacts, GpuChecks, GpuSummary, columns_of_json

# As the revision 4e15628 wrote them.
FIRST = (
    '{"algorithm": "leiden", "base_resolution": 0.5, "engine": "igraph", "engine_reason": "the default", '
    '"graph": "computed", "level": 1, "modularity": 0.6116904725540129, "n_clusters": 3, "n_iterations": 2, '
    '"resolutions_used": [0.5], "seed": 0, "splits": 1, "use_weights": true}'
)
SECOND = (
    '{"algorithm": "louvain", "base_resolution": 0.5, "engine": "igraph", "engine_reason": "the default", '
    '"graph": "computed", "level": 2, "modularity": null, "n_clusters": 12, "n_iterations": null, '
    '"resolutions_used": [0.5], "seed": 0, "splits": 3, "use_weights": true}'
)


@pytest.mark.parametrize("text", [FIRST, SECOND])
def test_columns_of_4e15628_are_read_and_written_byte_for_byte(text: str) -> None:
    assert json.dumps(ColumnFacts.from_json(json.loads(text)).to_json(), sort_keys=True) == text


def test_what_a_gpu_did_stands_beside_the_other_facts() -> None:
    checks = GpuChecks(largest_modularity_gap=0.01, mean_ari=0.7, mean_n_clusters_gpu=4.0, mean_n_clusters_cpu=5.0)
    facts = ColumnFacts(algorithm="leiden", gpu=GpuSummary(fallbacks=1, checked=2, checks=checks))
    said = facts.to_json()
    assert (said["fallbacks"], said["gpu_checked"]) == (1, 2)
    assert said["gpu_check"] == {
        "largest_modularity_gap": 0.01, "mean_ari": 0.7, "mean_n_clusters_gpu": 4.0, "mean_n_clusters_cpu": 5.0,
    }  # fmt: skip
    assert not {"gpu", "input", "written"} & said.keys()
    assert "gpu_check" not in GpuSummary(fallbacks=1, checked=0, checks=None).to_json()


def test_a_column_of_an_earlier_call_says_from_what_and_when() -> None:
    found = ColumnFacts.from_json({**json.loads(FIRST), "input": {"url": "a.zarr", "size": 3}, "written": "2026"})
    assert (found.input, found.written) == ({"url": "a.zarr", "size": 3}, "2026")


def test_what_is_not_recorded_is_none_and_what_is_unknown_passed_over() -> None:
    assert columns_of_json({"mine": {}, "odd": 3, "new": {"colour": "blue"}}) == {
        "mine": ColumnFacts(), "new": ColumnFacts(),
    }  # fmt: skip
    assert ColumnFacts().base is None
    assert ColumnFacts(algorithm="leiden", base_resolution=1.0).base == ("leiden", 1.0)


@pytest.mark.parametrize(("name", "value"), [("level", "1"), ("resolutions_used", ["a"]), ("use_weights", 1)])
def test_a_value_of_another_type_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(WrongJson, match=name):
        ColumnFacts.from_json({name: value})

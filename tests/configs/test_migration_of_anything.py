from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.configs import ConfigError, RunConfig
from cellstrata.configs.loading.yaml_reader import read_config
from cellstrata.configs.loading.yaml_writer import written
from cellstrata.configs.migration.document import migrated

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
# Values as people write them, and some that are wrong.
LIKELY: dict[str, list[Any]] = {
    "algorithm": ["leiden", ["leiden"], ["leiden", "louvain"], "louvain", "leidan"],
    "resolutions": [[0.2, 0.5], 1, ["0.5", 1], "1e-3"],
    "resolution": [1],
    "hierarchy": [
        *(None, True, False, 0, 1, 3, "2", "0", [0.1], [], {}, {1: 0.1, 3: 0.2}, {"2": 0.1}, {0: 1}, {"3_0": 1}),
        *({1: {"flavor": "igraph"}, 2: {"flavor": "igraph"}}, {2: {"use_weights": False, "random_state": 1}}),
        *({1: {"use_weights": False}}, {2: {"flavor": 5}}, {2: None}, {"levels": {2: 1}}, {"clusters": {1: False}}),
    ],
    "neighbors": [None, False, {}, {"n_neighbors": "30"}, {"use_rep": "X", "knn": True}, {1: 2}, {"n_neighbors": []}],
    "neighbors_key": [None, "neighbors", "scvi"],
    "recompute_neighbors": [None, True, "no", 1],
    "recompute_umap": [None, "true", False],
    "umap_colors": [None, "a", ["3_0", "yes"]],
    "use_gpu": [None, True, "false", "required"],
    "n_cell_cpu": [None, 5, "100_000"],
    "overwrite": ["False", True],
    "plots": [None, {"colors": ["a"], "dpi": 3}, {"plot_centroids": "b"}],
    "clustering_args": [None, {"flavor": "igraph"}, {"use_weights": True, "x": 1}],
    "user_gpu": [True],
    "seed": [3],
    "engine": ["igraph", "leidenalg", None],
}
CLUSTERING = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in LIKELY.items()})
SURE = CLUSTERING.map(lambda section: {"algorithm": "leiden", "resolutions": 1, **section})
INPUTS = st.sampled_from(
    [{"clustering": "pca", "pca": "a/b"}, {"clustering": ["a/b", "c"]}, {"clustering": {"a": "1"}}]
)
DATASET = st.fixed_dictionaries({"input": INPUTS, "clustering": SURE | CLUSTERING}, optional={"pca": ANYTHING})
WHOLE = st.fixed_dictionaries(
    {
        "output_dir": st.sampled_from(["out", "3_0"]),
        "DATASETS": st.dictionaries(st.sampled_from(["lung", "heart", 2024]), DATASET | ANYTHING, min_size=1),
    },
    optional={
        "defaults": st.fixed_dictionaries({"clustering": CLUSTERING, "pca": ANYTHING}) | ANYTHING,
        "use_gpu": st.sampled_from([True, None, "no"]),
        "output_map": ANYTHING,
    },
)


@settings(deadline=None, max_examples=100)
@given(WHOLE)
def test_whatever_is_in_it(old: dict[str, Any]) -> None:
    try:
        new, notes = migrated(old)
        RunConfig(**new)
    except ConfigError:
        return
    assert migrated(new)[0] == new
    assert read_config(written(new, notes), "").data == new

"""The form that Prefect's UI shows: what it describes, what it lets through, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cellstrata.configs import load_config
from cellstrata.configs.form.reference import json_schema
from cellstrata.configs.form.schema import form_schema
from cellstrata.configs.form.titles import TITLES
from tests import ROOT

EXAMPLES = sorted((ROOT / "configs" / "examples").glob("*.yaml"))
GOOD: dict[str, Any] = {
    "output_dir": "out",
    "DATASETS": {
        "d": {"input": {"clustering": {"f": "x.h5ad"}}, "clustering": {"algorithm": "leiden", "resolutions": 1}}
    },
}
FORM = Draft202012Validator(form_schema())


def keys(part: Any, path: str = "") -> dict[str, Any]:
    """Return the schema of every key, by its path."""
    found: dict[str, Any] = {}
    for key, inner in part.get("properties", {}).items():
        found |= {f"{path}{key}": inner} | keys(inner, f"{path}{key}.")
    if isinstance(part.get("additionalProperties"), dict):
        found |= keys(part["additionalProperties"], f"{path}*.")
    return found


def test_every_key_is_described_and_nothing_is_referred_to() -> None:
    found = keys(form_schema())
    assert "DATASETS.*.clustering.resolutions" in found
    bare = [path for path, part in found.items() if not part.get("description")]
    assert not [path for path in bare if path not in ("DATASETS.*.input", "DATASETS.*.clustering")]
    assert "$ref" not in str(form_schema())
    assert json_schema()["$defs"]  # the schema for editors keeps its own


def test_datasets_come_first_and_every_key_has_a_title_in_plain_words() -> None:
    schema = form_schema()
    assert list(schema["properties"])[:2] == ["DATASETS", "output_dir"]  # type: ignore[call-overload]
    clustering = keys(schema)["DATASETS.*.clustering"]["properties"]
    assert list(clustering)[:3] == ["algorithm", "resolutions", "hierarchy"]
    for part in (schema["properties"], clustering):
        assert [one["position"] for one in part.values()] == list(range(len(part)))  # type: ignore[attr-defined]
    for path, part in keys(schema).items():
        key = path.rpartition(".")[2]
        title = part["title"]
        assert title.endswith(f" ({key})"), path
    known = json_schema()
    models = {"": known, **known["$defs"]}
    for name, titles in TITLES.items():
        assert set(titles) == set(models[name]["properties"]), name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_is_deployed_passes(path: Path) -> None:
    config, _ = load_config(str(path))
    FORM.validate(config.model_dump(mode="json", exclude_unset=True))


@pytest.mark.parametrize(
    "bad",
    [
        {"runner": "magic"},
        {"workers": 0},
        {"nonsense": 1},
        {"link": 3},
        {"output_dir": ""},
        {"DATASETS": {"d": {"clustering": {"resolutions": ["a"]}}}},
        {"DATASETS": {"d": {"clustering": {"resolutions": [0.5, -1]}}}},
        {"DATASETS": {"d": {"clustering": {"hierarchy": 0}}}},
        {"DATASETS": {"d": {"clustering": {"hierarchy": {"levels": {"2": {"resolution": 0}}}}}}},
        {"DATASETS": {"d": {"clustering": {"seed": -1}}}},
    ],
    ids=str,
)
def test_a_bad_value_is_refused_by_the_form_alone(bad: dict[str, Any]) -> None:
    FORM.validate(GOOD)
    assert list(FORM.iter_errors(GOOD | bad))

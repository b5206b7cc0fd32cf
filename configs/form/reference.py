"""The configuration described by itself: as a JSON schema, and as a table for readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cellstrata.configs.clustering import ClusteringConfig, PlotsConfig
from cellstrata.configs.dask import DaskConfig
from cellstrata.configs.dataset import InputConfig
from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.configs.evidence import EvidenceConfig, StopRules
from cellstrata.configs.markers import MarkersConfig
from cellstrata.configs.model import Defaults, RunConfig
from cellstrata.configs.neighbors import NeighborsConfig

# What may be written and is then normalised, so that validation alone does not show it.
_ONE_OR_MORE = ("umap_colors", "batch_keys", "colors", "plot_centroids", "algorithm", "resolutions")


def json_schema() -> dict[str, Any]:
    """Describe everything that may be written, with the shorter spellings, as a JSON schema."""
    schema = RunConfig.model_json_schema()
    parts = schema["$defs"]
    for name in ("ClusteringConfig", "PlotsConfig"):
        for key in _ONE_OR_MORE:
            _allow_single(parts[name]["properties"].get(key))
    files = parts["InputConfig"]["properties"]["clustering"]
    mapping = {key: files.pop(key) for key in ("type", "additionalProperties")}
    files["anyOf"] = [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        mapping,
    ]
    # Pydantic drops the description of a key whose value is a model.
    for model, part in ((RunConfig, schema), (ClusteringConfig, parts["ClusteringConfig"])):
        for key, field in model.model_fields.items():
            part["properties"][key].setdefault("description", field.description)
    clustering = parts["ClusteringConfig"]
    clustering["properties"]["clustering_args"]["additionalProperties"] = True
    # Under `defaults` nothing is required, and what is required of a dataset may come from there.
    del clustering["required"]
    del parts["DatasetConfig"]["required"]
    parts["InputConfig"].update({"additionalProperties": True, "required": []})
    described = parts["Defaults"]["properties"]["clustering"]["description"]
    parts["Defaults"]["properties"]["clustering"] = {
        "$ref": "#/$defs/ClusteringConfig",
        "description": described,
        "default": {},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def reference_table() -> str:
    """Write a Markdown table of every key: type, default, meaning."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, kind, default, meaning in _rows():
        cells = (cell.replace("|", "\\|") for cell in (f"`{key}`", kind, default, meaning))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _allow_single(part: dict[str, Any] | None) -> None:
    if part is not None and "items" in part:
        several = {key: part.pop(key) for key in ("type", "items")}
        part["anyOf"] = [dict(several["items"]), several]
    elif part is not None:  # a list, or a word in its place
        part["anyOf"] = [dict(each["items"]) for each in part["anyOf"] if "items" in each] + part["anyOf"]


def _rows() -> Iterator[tuple[str, str, str, str]]:
    sections: list[tuple[str, type[BaseModel]]] = [
        ("", RunConfig),
        ("dask.", DaskConfig),
        ("defaults.", Defaults),
        ("DATASETS.*.input.", InputConfig),
        ("DATASETS.*.clustering.", ClusteringConfig),
        ("DATASETS.*.clustering.neighbors.", NeighborsConfig),
        ("DATASETS.*.clustering.plots.", PlotsConfig),
        ("DATASETS.*.clustering.embedding.", EmbeddingConfig),
        ("DATASETS.*.clustering.evidence.", EvidenceConfig),
        ("DATASETS.*.clustering.stop.", StopRules),
        ("DATASETS.*.clustering.markers.", MarkersConfig),
    ]
    parts = json_schema()
    for prefix, model in sections:
        described = parts if model is RunConfig else parts["$defs"].get(model.__name__) or model.model_json_schema()
        for key, field in model.model_fields.items():
            default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
            yield prefix + key, _kind(described["properties"][key]), default, field.description or ""


def _default(value: Any) -> str:
    if value is PydanticUndefined or value is None or isinstance(value, BaseModel):
        return ""
    try:
        return f"`{json.dumps(value)}`"
    except TypeError:
        return ""


def _kind(part: dict[str, Any]) -> str:
    if "$ref" in part:
        return "mapping"
    if "anyOf" in part:
        kinds = [_kind(other) for other in part["anyOf"]]
        return " or ".join(kind for kind in dict.fromkeys(kinds) if kind != "nothing")
    if "enum" in part:
        return " or ".join(f"`{word}`" for word in part["enum"])
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    names = {"string": "text", "integer": "whole number", "boolean": "true/false", "object": "mapping"}
    names |= {"null": "nothing", "array": "list", "number": "number"}
    if part.get("type") == "array" and "items" in part:
        return f"list of {_kind(part['items'])}"
    return names.get(str(part.get("type")), "any")


START, END = "<!-- keys -->\n", "<!-- /keys -->"


def main(path: str) -> None:
    """Write the table of keys into a Markdown file, between its two markers."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    head, _, rest = text.partition(START)
    _, _, tail = rest.partition(END)
    table = reference_table()  # before the file is opened, and empty
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{head}{START}{table}{END}{tail}")


if __name__ == "__main__":
    import sys

    main(sys.argv[1])

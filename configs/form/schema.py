"""The configuration as a form: one JSON schema without references, as Prefect's UI shows and its server checks it."""

from __future__ import annotations

import copy
import functools
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from cellstrata.configs.form.reference import json_schema
from cellstrata.configs.form.titles import TITLES, arrange
from cellstrata.configs.model import RunConfig


@functools.cache
def form_schema() -> dict[str, object]:
    """Return the schema of everything that may be written, self-contained, with a description for every key.

    A server that checks it refuses what is of a wrong type, outside its range, misspelt or missing; what
    depends on several keys is left to `RunConfig`.
    """
    schema = json_schema()
    parts = schema.pop("$defs")
    del schema["$schema"]
    schema["description"] = "What to cluster, and how: the keys of the configuration file."
    for one in parts["ClusteringConfig"]["properties"]["resolutions"]["anyOf"]:  # checked by hand in the model
        if "const" not in one:
            (one.get("items") or one)["exclusiveMinimum"] = 0
    for name, part in {"": schema, **parts}.items():
        if "properties" in part:
            part["properties"] = arrange(part["properties"], TITLES.get(name, {}))
    whole: dict[str, object] = _inlined(schema, parts)
    return whole


_SPELT = {"gt": "exclusiveMinimum"}  # where pydantic leaves its own word in a union


def _inlined(part: Any, parts: dict[str, object]) -> Any:
    if isinstance(part, list):
        return [_inlined(inner, parts) for inner in part]
    if not isinstance(part, dict):
        return part
    own = {_SPELT.get(key, key): _inlined(value, parts) for key, value in part.items() if key != "$ref"}
    if isinstance(reference := part.get("$ref"), str):
        return _inlined(parts[reference.rpartition("/")[2]], parts) | own
    return own


class AsForm:
    """Annotates a flow's parameter that is a `RunConfig`, so that its schema is the form's.

    `RunConfig` validates by itself: a validator of all keys would be built anew for each flow, whenever it is imported.
    """

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(RunConfig.model_validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        return copy.deepcopy(form_schema())  # pydantic writes into it


FormConfig = Annotated[RunConfig, AsForm()]

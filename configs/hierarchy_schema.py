"""The JSON schema of `hierarchy` in all its spellings."""

from __future__ import annotations

from cellstrata.configs.cluster_ids import ID, TREE
from cellstrata.configs.hierarchy import UNTIL_STABLE, LevelParameters

_ID = f"^(?:{TREE}:)?{ID}$"
_PARAMETERS = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "description": "A resolution."},
        LevelParameters.model_json_schema(),
    ]
}
_LEAVE_WHOLE = {"const": False, "description": "Leave this cluster whole."}

HIERARCHY_SCHEMA: dict[str, object] = {
    "anyOf": [
        {"type": "null", "description": "One level."},
        {"const": False, "description": "One level."},
        {"type": "integer", "minimum": 1, "description": "Split every cluster down to this level."},
        {"const": UNTIL_STABLE, "description": "Split until splits no longer stand, as `stop` says."},
        {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "The same, as text."},
        {
            "type": "object",
            "description": "Split only these clusters, by id: 3, or 3_0 for a cluster of level 2; "
            "leiden_0.5:3 for that of one algorithm and resolution.",
            "patternProperties": {_ID: _PARAMETERS},
            "additionalProperties": False,
            "minProperties": 1,
        },
        {
            "type": "object",
            "description": "Levels at which every cluster is split, and clusters that differ.",
            "properties": {
                "levels": {
                    "type": "object",
                    "patternProperties": {"^[1-9][0-9]*$": _PARAMETERS},
                    "additionalProperties": False,
                },
                "clusters": {
                    "type": "object",
                    "patternProperties": {_ID: {"anyOf": [*_PARAMETERS["anyOf"], _LEAVE_WHOLE]}},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
    ]
}

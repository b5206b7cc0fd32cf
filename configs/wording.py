"""Pydantic's findings in the words of the configuration's readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cellstrata.configs.errors import ConfigError, Path, Problem, did_you_mean, one_of, shown
from cellstrata.configs.keys import model_at

# Nothing that stands below these is ever repeated in a message.
SECRET_KEYS = ("storage_options", "dask")

_TRUTH = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}


def problems_in(error: ValidationError, root: type[BaseModel], base: Path = ()) -> list[Problem]:
    """Say in plain words what pydantic found in data for `root`, which stands at `base`."""
    found: list[Problem] = []
    for detail in error.errors(include_url=False):
        path = (*base, *detail["loc"])
        inner = detail.get("ctx", {}).get("error")
        if isinstance(inner, ConfigError):
            found += under(path, inner.problems)
        elif detail["type"] == "extra_forbidden":
            found.append(unknown_key(path, model_at(root, detail["loc"][:-1])))
        else:
            message, suggestion = _words(detail, secret=bool(set(path) & set(SECRET_KEYS)))
            found.append(Problem(path, message, suggestion))
    return found


def under(base: Path, problems: Sequence[Problem]) -> list[Problem]:
    """Put the paths of problems below `base`."""
    return [Problem((*base, *p.path), p.message, p.suggestion, p.line, p.source) for p in problems]


def unknown_key(path: Path, model: type[BaseModel] | None) -> Problem:
    """Report a key that is not known, with the nearest one that is."""
    known = list(model.model_fields) if model else []
    suggestion = did_you_mean(path[-1], known)
    if suggestion is None and 0 < len(known) <= 8:
        suggestion = f"known here: {one_of(known)}"
    return Problem(path, "unknown key", suggestion)


def _words(detail: ErrorDetails, secret: bool) -> tuple[str, str | None]:
    value: Any = detail["input"]
    context = detail.get("ctx", {})
    got = "" if secret else f", not {shown(value)}"
    match detail["type"]:
        case "missing":
            return "is missing", None
        case "int_type" | "int_from_float" | "int_parsing" | "int_parsing_size":
            return f"must be a whole number{got}", _unquoted(value, int)
        case "float_type" | "float_parsing" | "finite_number":
            return f"must be a number{got}", _unquoted(value, float)
        case "bool_type" | "bool_parsing":
            word = _TRUTH.get(value.lower()) if isinstance(value, str) else None
            return f"must be true or false{got}", f"write {word} without quotes" if word else None
        case "string_type":
            return f"must be text{got}", _quoted(value)
        case "greater_than":
            return f"must be greater than {context['gt']:g}{got}", None
        case "greater_than_equal":
            return f"must be at least {context['ge']}{got}", None
        case "list_type":
            return f"must be a list{got}", None
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"must be a mapping (`key: value`){got}", None
        case _:
            return "is not valid here", None


def _unquoted(value: object, kind: type[int] | type[float]) -> str | None:
    if isinstance(value, float) and kind is int and value.is_integer():
        return f"write {int(value)}"
    if not isinstance(value, str):
        return None
    try:
        return f"write {kind(value)} without quotes"
    except ValueError:
        return None


def _quoted(value: object) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'write "{value}" in quotes'
    return None

"""After which earlier result clusters are numbered: the key `match` of a dataset."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from cellstrata.configs.errors import shown
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.configs.values import Text, refuse


def _result(value: object) -> object:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise refuse(f"must be a path or URL of an earlier result, not {shown(value)}", "write for example `match: out`")


def _shown(url: str | None) -> str | None:
    return None if url is None else without_credentials(url)


AskedMatch = Annotated[
    Text | None, BeforeValidator(_result), PlainSerializer(_shown, return_type=str | None, when_used="json")
]

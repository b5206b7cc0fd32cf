"""Prefect's assets: which results come from which input, so that it can show their lineage."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from prefect import Task
from prefect.assets import Asset, AssetProperties, materialize
from prefect.cache_policies import NO_CACHE

from cellstrata.flows.monitor.artifacts import visitable
from cellstrata.flows.steps import RETRYING, step
from cellstrata.tasks.inputs.inspection import Input

_NOT_IN_KEYS = re.compile(r"[\s#?&%\"'<>\[\]{}|\\^`]")


def asset_key(url: str) -> str:
    """Return a URL as Prefect takes it for an asset's key: other characters are `_`, credentials are left out."""
    from urllib.parse import unquote

    return _NOT_IN_KEYS.sub("_", unquote(visitable(url)))


def publishing(source: Input) -> Task[Any, Any]:
    """Return the step as one that makes the result and the table of labels out of the input."""
    with contextlib.suppress(ValueError):  # a key that is too long: without lineage then
        made = [
            Asset(key=asset_key(url), properties=AssetProperties(name=f"{source.name}: {what}"))
            for what, url in (("result", source.output), ("labels", source.labels))
        ]
        decorate = materialize(
            *made, by="cellstrata", name="publish", asset_deps=[Asset(key=asset_key(source.url))],
            cache_policy=NO_CACHE, persist_result=False, **RETRYING,
        )  # fmt: skip
        return decorate(step.fn)
    return step

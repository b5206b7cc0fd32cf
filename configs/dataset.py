"""One dataset: where its files are, and how they are clustered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field, field_serializer, model_validator

from cellstrata.configs.clustering import STRICT, ClusteringConfig
from cellstrata.configs.errors import ConfigError, Problem, shown
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.configs.values import NothingIsEmpty, Text

# Of a name: file systems take 255, of which a result that is being written needs some for itself.
MOST_BYTES = 200


def name_problem(name: object, what: str) -> str | None:
    """Say why a name cannot be part of the name of a result, or None if it can."""
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        return f"{shown(name)} is no name for a {what}"
    if name == "":
        return f"the name of a {what} is empty"
    if str(name) in (".", "..") or any(mark in str(name) for mark in "/\\\0"):
        return f"the name of a {what} cannot be `.` or `..`, nor hold `/`, a backslash or NUL"
    if len(str(name).encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return f"`{str(name)[:20]}…` is too long for the name of a {what}, which has at most {MOST_BYTES} bytes"
    return None


def file_id(path: str) -> str:
    """Name a file that was given no id, as the ancestor does: from the text of its path."""
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()


def _files(written: object) -> dict[str, str]:
    """Read a path, a list of paths or `{file_id: path}`. Raises ConfigError with every problem."""
    problems: list[Problem] = []
    files: dict[str, str] = {}
    if isinstance(written, Mapping):
        pairs: list[tuple[object, str | int, object]] = [(key, str(key), url) for key, url in written.items()]
    elif isinstance(written, list):
        pairs = [(None, index, url) for index, url in enumerate(written)]
    elif isinstance(written, str) and written.strip():
        return {file_id(written): written}
    else:
        hint = "write a path, a list of paths, or {file_id: path}"
        raise ConfigError([Problem((), f"must say where the data are, not {shown(written)}", hint)])
    for key, step, url in pairs:
        reason = name_problem(key, "file") if isinstance(written, Mapping) else None
        if reason:
            problems.append(Problem((step,), reason, "choose another file id"))
        elif not isinstance(url, str) or not url.strip():
            problems.append(Problem((step,), f"must be a path or URL, not {shown(url)}"))
        else:
            name = file_id(url) if key is None else str(key)
            if name in files:
                again = "the same path is given twice" if key is None else f"the file id {shown(name)} is given twice"
                problems.append(Problem((step,), again, "drop one, or give them ids: {first: …, second: …}"))
            files[name] = url
    if not pairs:
        problems.append(Problem((), "names no file", "write a path, a list of paths, or {file_id: path}"))
    if problems:
        raise ConfigError(problems)
    return files


class InputConfig(BaseModel):
    """What is read."""

    model_config = STRICT

    clustering: dict[str, Text] = Field(
        description="The data: a path or URL, a list of them, or `{file_id: url}`.",
    )

    @field_serializer("clustering", when_used="json")
    def _shown(self, files: dict[str, str]) -> dict[str, str]:
        return {name: without_credentials(url) for name, url in files.items()}

    @model_validator(mode="before")
    @classmethod
    def _normalise(cls, data: object) -> object:
        # Other modules of the ancestor may have their inputs here; they are none of ours.
        if not isinstance(data, Mapping) or "clustering" not in data:
            return data
        try:
            return {"clustering": _files(data["clustering"])}
        except ConfigError as error:
            problems = [Problem(("clustering", *p.path), p.message, p.suggestion) for p in error.problems]
            raise ConfigError(problems) from None


class DatasetConfig(BaseModel):
    """One entry of `DATASETS`."""

    model_config = STRICT

    input: InputConfig = Field(description="Where the data are: `{clustering: …}`.")
    clustering: Annotated[ClusteringConfig, NothingIsEmpty] = Field(description="How they are clustered.")

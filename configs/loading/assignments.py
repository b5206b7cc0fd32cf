"""Single values given beside the file, by option or variable: where each goes, and what it says."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.clustering_args import STANDS_FOR
from cellstrata.configs.dataset import DatasetConfig
from cellstrata.configs.errors import ConfigError, Path, Problem, did_you_mean, one_of
from cellstrata.configs.keys import annotation_at, is_text, is_truth, model_at
from cellstrata.configs.loading.yaml_reader import parse_value
from cellstrata.configs.merging import takes_part
from cellstrata.configs.model import RunConfig
from cellstrata.configs.secrets_mask import is_secret
from cellstrata.configs.wording import SECRET_KEYS

TRUE_WORDS = ("true", "1", "yes", "on")
FALSE_WORDS = ("false", "0", "no", "off")


@dataclass(frozen=True)
class Assignment:
    """A value, the places it goes to, and what the user calls it."""

    paths: tuple[Path, ...]
    value: Any
    source: str


class UnknownKeyError(Exception):
    """No such key; the text is a suggestion, or empty."""


def paths_of(words: Sequence[str], data: Mapping[str, object], shortcuts: bool, free_case: bool) -> list[Path]:
    """Find where `a.b.c` goes in a configuration: one path, or one for each dataset.

    With `shortcuts`, a key of `clustering` alone means that key of every dataset; `free_case` says that
    names keep their case (an environment variable has none). Raises UnknownKeyError.
    """
    first, rest = words[0], list(words[1:])
    top = _match(first, RunConfig.model_fields)
    if top == "DATASETS":
        if not rest:
            return [("DATASETS",)]
        name, rest = _dataset(rest, _datasets(data), free_case)
        return [("DATASETS", name, *_inside(DatasetConfig, rest, free_case))]
    if top == "defaults" and rest and rest[0].lower() == "clustering":
        return [("defaults", "clustering", *_inside(ClusteringConfig, rest[1:], free_case))]
    if top is not None:
        return [_inside(RunConfig, [top, *rest], free_case)]
    if shortcuts and _match(first, ClusteringConfig.model_fields):
        inside = _inside(ClusteringConfig, words, free_case)
        names = [name for name, dataset in _datasets(data).items() if takes_part(dataset)]
        return [("DATASETS", name, "clustering", *inside) for name in names]
    known = [*RunConfig.model_fields, *(ClusteringConfig.model_fields if shortcuts else ())]
    raise UnknownKeyError(did_you_mean(first, known) or "")


def value_of(text: str, path: Path) -> object:
    """Read a value by the rules of the file; text where only text can stand. Raises ConfigError."""
    if set(path) & set(SECRET_KEYS) and is_secret(path[-1]):
        return text
    annotation = annotation_of(path)
    if annotation is not None and is_text(annotation):
        return None if text in ("", "~", "null") else text
    if annotation is not None and is_truth(annotation) and text.lower() in TRUE_WORDS + FALSE_WORDS:
        return text.lower() in TRUE_WORDS
    try:
        value = parse_value(text, "")
    except ConfigError as error:
        hidden = bool(set(path) & set(SECRET_KEYS))
        message = "cannot be read" if hidden else f"cannot be read: {error.problems[0].message}"
        raise ConfigError([Problem((), message)]) from None
    inputs = "input" in path and not isinstance(value, (list, dict))
    return text if inputs else value


def assign(data: dict[str, Any], assignments: Iterable[Assignment]) -> dict[str, Any]:
    """Lay assignments over a configuration, each replacing what stood there; the original is left alone."""
    whole = copy.deepcopy(data)
    for assignment in assignments:
        for path in assignment.paths:
            _set(whole, path, copy.deepcopy(assignment.value))
    return whole


def _set(data: dict[str, Any], path: Path, value: Any) -> None:
    section: dict[Any, Any] = data
    for part in path[:-1]:
        key = next((key for key in section if str(key) == str(part)), part)
        if not isinstance(section.get(key), dict):
            section[key] = {}
        if isinstance(section[key].get("clustering_args"), dict):
            # What is said last holds, also over the ancestor's spelling of the same key.
            arguments = section[key]["clustering_args"]
            for argument in [name for name in arguments if STANDS_FOR.get(name) == path[-1]]:
                del arguments[argument]
        section = section[key]
    section[next((key for key in section if str(key) == str(path[-1])), path[-1])] = value


def _inside(model: type[BaseModel], words: Sequence[str], free_case: bool) -> Path:
    """Match words to keys below a model; below free mappings they stay as they are."""
    path: list[str] = []
    for index, word in enumerate(words):
        here = model_at(model, path)
        if here is None:
            if annotation_at(model, path) is not None and not _holds_keys(path):
                raise UnknownKeyError(f"`{path[-1]}` has no keys of its own")
            rest = [other if free_case else other.lower() for other in words[index:]]
            return (*path, ".".join(rest)) if path[-2:] == ["input", "clustering"] else (*path, *rest)
        key = _match(word, here.model_fields)
        if key is None:
            known = list(here.model_fields)
            raise UnknownKeyError(did_you_mean(word, known) or (f"known: {one_of(known)}" if len(known) < 9 else ""))
        path.append(key)
    return tuple(path)


def _holds_keys(path: Sequence[str]) -> bool:
    free = ("hierarchy", "clustering_args", "resources", "storage_options", "clustering")
    return any(part in free for part in path)


def _match(word: str, known: Iterable[str]) -> str | None:
    names = list(known)
    if word in names:
        return word
    plain = word.replace("-", "_").lower()
    return next((name for name in names if name.lower() == plain), None)


def _datasets(data: Mapping[str, object]) -> dict[str, object]:
    datasets = data.get("DATASETS")
    return {str(name): inner for name, inner in datasets.items()} if isinstance(datasets, Mapping) else {}


def _dataset(words: list[str], known: Iterable[str], free_case: bool) -> tuple[str, list[str]]:
    """Split off the dataset's name, which may itself hold the mark that joins words."""
    joint = "." if free_case else "__"
    for count in range(len(words), 0, -1):
        asked = joint.join(words[:count])
        for name in known:
            if name == asked or (not free_case and re.sub(r"\W", "_", name).lower() == asked.lower()):
                return name, words[count:]
    return (words[0] if free_case else words[0].lower()), words[1:]


def annotation_of(path: Path) -> object:
    """Return the type of what stands at a path of the file, or None."""
    if path[:2] == ("defaults", "clustering") and len(path) > 2:
        return annotation_at(ClusteringConfig, path[2:])
    return annotation_at(RunConfig, path)

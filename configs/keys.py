"""Which keys may stand where: walks the models along a path of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def model_at(root: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the model whose keys stand at `path`, or None if free keys, or none, stand there."""
    annotation: object = root
    for part in path:
        annotation = _step(annotation, str(part))
        if annotation is None:
            return None
    return _model_in(annotation)


def annotation_at(root: type[BaseModel], path: Sequence[str | int]) -> object:
    """Return the type of what stands at `path`, or None if no such key is known."""
    *parents, last = path
    annotation: object = root
    for part in [*parents, last]:
        annotation = _step(annotation, str(part))
        if annotation is None:
            return None
    return annotation


def is_text(annotation: object) -> bool:
    """Say whether only text (or nothing) may stand there, so that `2024` is meant as text too."""
    kinds = {kind for kind in _alternatives(annotation) if kind is not type(None)}
    return kinds == {str}


def is_truth(annotation: object) -> bool:
    """Say whether true or false may stand there."""
    return bool in set(_alternatives(annotation))


def _step(annotation: object, key: str) -> object:
    model = _model_in(annotation)
    if model is not None:
        field = model.model_fields.get(key)
        return None if field is None else field.annotation
    for kind in _alternatives(annotation):
        if get_origin(kind) is dict:
            return get_args(kind)[1]
    return None


def _model_in(annotation: object) -> type[BaseModel] | None:
    for kind in _alternatives(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _alternatives(annotation: object) -> Iterator[object]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for kind in get_args(annotation):
            yield from _alternatives(kind)
    elif origin is Literal:
        yield from {type(value) for value in get_args(annotation)}
    else:
        yield annotation

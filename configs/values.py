"""The kinds of single values that keys take, with refusals a reader understands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from cellstrata.configs.errors import ConfigError, Problem, did_you_mean, one_of, shown


def refuse(message: str, suggestion: str | None = None, *path: str | int) -> ConfigError:
    """Make the error of a single problem, at `path` below the value that is being read."""
    return ConfigError([Problem(path, message, suggestion)])


def one_word_of(words: Sequence[str]) -> BeforeValidator:
    """Accept one of these words; anything else raises with the nearest of them. None passes on."""

    def check(value: Any) -> Any:
        if value is None or (isinstance(value, str) and value in words):
            return value
        raise refuse(f"must be {one_of(words)}, not {shown(value)}", did_you_mean(value, words))

    return BeforeValidator(check)


def _resolution(value: object) -> object:
    if value is None:
        return None
    return positive_number(value)


def positive_number(value: object) -> float:
    """Return a finite number greater than 0 as a float. Raises ConfigError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        suggestion = None
        if isinstance(value, str):
            with suppress(ValueError):
                suggestion = f"write {float(value):g} without quotes"
        raise refuse(f"must be a number greater than 0, not {shown(value)}", suggestion)
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not 0 < number < float("inf"):
        raise refuse(f"must be a number greater than 0, not {shown(value)}")
    return number


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise refuse(f"must be a number from 0 to 1, not {shown(value)}")
    return float(value)


def _iterations(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value != -1 and value < 1:
        raise refuse(f"must be at least 1, or -1 for until nothing changes, not {shown(value)}")
    return value


def _runs(value: object) -> object:
    if value is None or value == "auto":
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_RUNS:
        return value
    suggestion = did_you_mean(value, ["auto"]) or "1 is a single run, 8 a good ensemble"
    raise refuse(f"must be a whole number from 1 to {MOST_RUNS}, or `auto`, not {shown(value)}", suggestion)


def _switch_or(word: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, bool) or value == word:
            return value
        near = {"true": "write true without quotes", "false": "write false without quotes"}
        suggestion = near.get(str(value).lower()) or did_you_mean(value, [word])
        raise refuse(f"must be true, false or `{word}`, not {shown(value)}", suggestion)

    return BeforeValidator(check)


def _nothing_is_empty(value: object) -> object:
    return {} if value is None else value


def _texts(value: object) -> object:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def each_once(value: Any, check: Callable[[Any], Any]) -> list[Any]:
    """Check each item of a list, or a single value as a list of one; drop what comes twice.

    Raises ConfigError with every item that is refused.
    """
    if not isinstance(value, (list, tuple)):
        return [check(value)]
    kept: list[Any] = []
    problems: list[Problem] = []
    for index, item in enumerate(value):
        try:
            checked = check(item)
        except ConfigError as error:
            problems += [Problem((index, *p.path), p.message, p.suggestion) for p in error.problems]
        else:
            if checked not in kept:
                kept.append(checked)
    if problems:
        raise ConfigError(problems)
    return kept


def text_keys(value: object) -> object:
    """Copy nested mappings with their keys as text, as JSON has them."""
    return {str(key): text_keys(inner) for key, inner in value.items()} if isinstance(value, dict) else value


MOST_RUNS = 1_000  # of an ensemble: up to here, those of two seeds have no run in common
METRICS = ("euclidean", "cosine")

Switch = StrictBool
Text = StrictStr
Count = Annotated[StrictInt, Field(ge=1)]
CountFromZero = Annotated[StrictInt, Field(ge=0)]
Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]
Neighbors = Annotated[StrictInt, Field(ge=2)]
Iterations = Annotated[StrictInt, BeforeValidator(_iterations)]
Resolution = Annotated[float, BeforeValidator(_resolution), Field(gt=0)]
Runs = Annotated[StrictInt | Literal["auto"], BeforeValidator(_runs)]
Metric = Annotated[Literal["euclidean", "cosine"], one_word_of(METRICS)]
Gpu = Annotated[StrictBool | Literal["required"], _switch_or("required")]
Figures = Annotated[StrictBool | Literal["auto"], _switch_or("auto")]
TextList = Annotated[list[StrictStr], BeforeValidator(_texts)]
NothingIsEmpty = BeforeValidator(_nothing_is_empty)

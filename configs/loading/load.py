"""Reads a configuration: the file, over it the environment, over that the options."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from cellstrata.configs.errors import ConfigError, Path, Problem, did_you_mean, shown
from cellstrata.configs.loading.assignments import Assignment, assign
from cellstrata.configs.loading.notices import notices_of
from cellstrata.configs.loading.options import from_environment, from_keywords, from_options
from cellstrata.configs.loading.yaml_reader import MOST_TEXT, Document, read_config
from cellstrata.configs.model import RunConfig


class _Layers(PydanticBaseSettingsSource):
    """The source of settings that lays file, environment and options over one another."""

    def __init__(self, data: dict[str, object]) -> None:
        super().__init__(RunConfig)
        self.data = data

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        return self.data.get(field_name), field_name, False

    def __call__(self) -> dict[str, object]:
        return self.data


def load_config(
    path: str | os.PathLike[str] | None, overrides: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> tuple[RunConfig, list[str]]:
    """Read a run's configuration, and notices about it.

    Parameters
    ----------
    path
        The YAML file, or None for none.
    overrides
        Options as on the command line, such as `["--workers", "2", "--refresh"]`.
    env
        The environment. Default: that of this process.

    Returns
    -------
    tuple[RunConfig, list[str]]
        The configuration, and what a reader should know about it, a sentence each.

    Raises
    ------
    ConfigError
        With every problem of the configuration, each with its place.
    """
    place = None if path is None else os.fspath(path)
    document = Document({}, {}) if place is None else read_document(place)
    return _layered(document, place, os.environ if env is None else env, lambda data: from_options(overrides, data))


def config_from(
    source: RunConfig | str | os.PathLike[str] | Mapping[str, object], overrides: Mapping[str, object]
) -> tuple[RunConfig, list[str]]:
    """Make a run's configuration of what a program gives, and notices about it.

    `source` is a path or a mapping, over which the environment goes, or a configuration, which is taken as
    it is; `overrides` are values by key, as `workers` or `DATASETS__lung__clustering__seed`.

    Raises ConfigError with every problem, each with its place.
    """
    if isinstance(source, RunConfig):
        if not overrides:
            return source, []
        written = source.model_dump(mode="python", exclude_unset=True)
        return _layered(Document(written, {}), None, {}, lambda data: from_keywords(overrides, data))
    path = None if isinstance(source, Mapping) else os.fspath(source)
    document = Document(dict(source), {}) if isinstance(source, Mapping) else read_document(os.fspath(source))
    return _layered(document, path, os.environ, lambda data: from_keywords(overrides, data))


def _layered(
    document: Document, path: str | None, env: Mapping[str, str],
    overrides: Callable[[Mapping[str, Any]], tuple[list[Assignment], list[Problem]]],
) -> tuple[RunConfig, list[str]]:  # fmt: skip
    """Lay the environment and then the overrides over a document. Raises ConfigError with every problem."""
    from_env, notices = from_environment(env, document.data)
    data = assign(document.data, from_env)
    given, problems = overrides(data)
    data = assign(data, given)
    try:
        config = RunConfig(_build_sources=((_Layers(data),), {}))
    except ConfigError as error:
        lines = {tuple(map(str, place)): line for place, line in document.lines.items()}
        problems += [_located(problem, lines, [*from_env, *given]) for problem in error.problems]
    if problems:
        raise ConfigError(problems, path)
    return config, notices + notices_of(data, config)


def with_environment(data: dict[str, Any], env: Mapping[str, str]) -> tuple[RunConfig, list[str]]:
    """Build a run's configuration from `data` alone, the environment below it, and notices about it.

    Raises ConfigError with every problem.
    """
    from_env, notices = from_environment(env, data)
    used = [a for a in from_env if all(path[0] not in ("DATASETS", *data) for path in a.paths)]
    try:
        return RunConfig(_build_sources=((_Layers({**assign({}, used), **data}),), {})), notices
    except ConfigError as error:
        raise ConfigError([_located(problem, {}, used) for problem in error.problems]) from None


def read_document(path: str) -> Document:
    """Read the YAML file of a configuration, which must be a mapping. Raises ConfigError."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            document = read_config(file.read(MOST_TEXT + 1), path)
    except UnicodeDecodeError:
        raise ConfigError([Problem((), f"{path} is no UTF-8 text", "is it a YAML file?")]) from None
    except OSError as error:
        folder, name = os.path.split(path)
        beside = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        reason = {FileNotFoundError: "no such file", IsADirectoryError: "is a folder, not a file"}.get(type(error))
        near = did_you_mean(name, beside) if isinstance(error, FileNotFoundError) else None
        raise ConfigError([Problem((), f"{path}: {reason or 'cannot be read'}", near)]) from None
    if document.data is None:
        raise ConfigError([Problem((), "the file is empty", "see configs/examples")], path)
    if not isinstance(document.data, dict):
        message = f"must be a mapping with keys such as `output_dir` and `DATASETS`, not {shown(document.data)}"
        raise ConfigError([Problem((), message, line=1)], path)
    return Document({str(key): value for key, value in document.data.items()}, document.lines)


def _located(problem: Problem, lines: Mapping[tuple[str, ...], int], given: Sequence[Assignment]) -> Problem:
    """Add the line, the option or the variable that a problem comes from."""
    place = tuple(map(str, problem.path))
    for assignment in reversed(given):
        if any(place[: len(path)] == tuple(map(str, path)) for path in assignment.paths):
            # One option for many datasets is one mistake.
            path: Path = problem.path[3:] if len(assignment.paths) > 1 else problem.path
            return Problem(path, problem.message, problem.suggestion, source=assignment.source)
    known = [lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines]
    return Problem(problem.path, problem.message, problem.suggestion, known[0] if known else None)

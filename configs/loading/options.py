"""`--key value`, `CELLSTRATA_KEY=value` and `key=value` of a call in Python, read into assignments."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.errors import ConfigError, Path, Problem, did_you_mean
from cellstrata.configs.keys import is_truth
from cellstrata.configs.loading.assignments import (
    FALSE_WORDS,
    TRUE_WORDS,
    Assignment,
    UnknownKeyError,
    annotation_of,
    paths_of,
    value_of,
)
from cellstrata.configs.merging import takes_part
from cellstrata.configs.model import RunConfig


def from_options(words: Sequence[str], data: Mapping[str, object]) -> tuple[list[Assignment], list[Problem]]:
    """Read options, given what stands below them. Returns the assignments and what is wrong with the rest."""
    found: list[Assignment] = []
    problems: list[Problem] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--") or word == "--":
            problems.append(Problem((), "stands alone; options are written `--key value`", source=f"`{word}`"))
            continue
        name, equals, text = word[2:].partition("=")
        source = f"option --{name}"
        follows = bool(queue) and not queue[0].startswith("--")
        try:
            paths, negated = _option_paths(name, data)
        except UnknownKeyError as error:
            if not equals and follows:
                queue.pop(0)
            suggestion = _as_option(str(error))
            problems.append(Problem((), "unknown option", suggestion, source=f"option --{name}"))
            continue
        truth = any(is_truth(annotation_of(path)) for path in paths)
        if negated:
            text = "false"
        elif not equals:
            flags = (*TRUE_WORDS, *FALSE_WORDS, "required")
            if follows and (not truth or queue[0].lower() in flags):
                text = queue.pop(0)
            elif truth:
                text = "true"
            elif paths:
                problems.append(Problem((), "needs a value", f"write --{name} VALUE", source=source))
                continue
        try:
            if paths:
                found.append(Assignment(tuple(paths), value_of(text, paths[0]), source))
        except ConfigError as error:
            problems += [Problem((), problem.message, source=source) for problem in error.problems]
    return found, problems + _unknown_datasets(found, data)


def from_keywords(values: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[list[Assignment], list[Problem]]:
    """Read values that a program gives by key, given what stands below them.

    Nested keys are joined by two underscores, or by dots where the name of a dataset holds two underscores.
    Returns the assignments and what is wrong with the rest.
    """
    found: list[Assignment] = []
    problems: list[Problem] = []
    for name, value in values.items():
        source = f"argument {name}"
        words = name.split("." if "." in name else "__")
        try:
            found.append(Assignment(tuple(paths_of(words, data, shortcuts=True, free_case=True)), value, source))
        except UnknownKeyError as error:
            problems.append(Problem((), "unknown key", str(error) or None, source=source))
    return found, problems + _unknown_datasets(found, data)


def from_environment(env: Mapping[str, str], data: Mapping[str, object]) -> tuple[list[Assignment], list[str]]:
    """Read variables, given what stands below them. Returns the assignments, and notices about unknown ones.

    Raises ConfigError for a value that cannot be read.
    """
    prefix = str(RunConfig.model_config.get("env_prefix"))
    joint = str(RunConfig.model_config.get("env_nested_delimiter"))
    found: list[Assignment] = []
    notices: list[str] = []
    problems: list[Problem] = []
    for name in sorted(env):
        if not name.upper().startswith(prefix):
            continue
        source = f"environment {name}"
        try:
            paths = paths_of(name[len(prefix) :].split(joint), data, shortcuts=False, free_case=False)
            found.append(Assignment(tuple(paths), value_of(env[name], paths[0]), source))
        except UnknownKeyError:
            notices.append(f"{name} is no setting and has no effect{_nearest_variable(name, prefix, joint)}")
        except ConfigError as error:
            problems += [Problem((), problem.message, source=source) for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    lost = {problem.source for problem in _unknown_datasets(found, data)}
    for problem in _unknown_datasets(found, data):
        near = f"; {problem.suggestion}" if problem.suggestion else ""
        notices.append(f"{str(problem.source).removeprefix('environment ')} names {problem.message}{near}")
    return [assignment for assignment in found if assignment.source not in lost], notices


def _nearest_variable(name: str, prefix: str, joint: str) -> str:
    """Suggest a variable; the keys of `clustering` have theirs under the defaults."""
    known = {key.upper(): prefix + key.upper() for key in RunConfig.model_fields}
    known |= {
        key.upper(): prefix + joint.join(("DEFAULTS", "CLUSTERING", key.upper()))
        for key in ClusteringConfig.model_fields
        if key not in RunConfig.model_fields
    }
    near = difflib.get_close_matches(name[len(prefix) :].upper(), known, n=1, cutoff=0.6)
    return f"; did you mean `{known[near[0]]}`?" if near else ""


def _option_paths(name: str, data: Mapping[str, Any]) -> tuple[list[Path], bool]:
    try:
        return paths_of(name.split("."), data, shortcuts=True, free_case=True), False
    except UnknownKeyError as error:
        if not name.startswith("no-") and not name.startswith("no_"):
            raise
        try:
            paths = paths_of(name[3:].split("."), data, shortcuts=True, free_case=True)
        except UnknownKeyError:
            raise error from None
        if any(not is_truth(annotation_of(path)) for path in paths):
            raise UnknownKeyError("only a key that is true or false has a `--no-` form") from None
        return paths, True


def _as_option(suggestion: str) -> str | None:
    return suggestion.replace("did you mean `", "did you mean `--") or None


def _unknown_datasets(found: Sequence[Assignment], data: Mapping[str, object]) -> list[Problem]:
    """Report assignments to datasets that neither the file nor another assignment gives an input."""
    datasets = data.get("DATASETS")
    known = [str(name) for name in datasets] if isinstance(datasets, Mapping) else []
    every = [(path, a) for a in found for path in a.paths if path[0] == "DATASETS" and len(path) > 1]
    made = {path[1] for path, a in every if path[2:3] == ("input",) or (len(path) == 2 and takes_part(a.value))}
    return [
        Problem((), f"no dataset `{path[1]}`", did_you_mean(path[1], known), source=a.source)
        for path, a in every
        if path[1] not in known and path[1] not in made
    ]

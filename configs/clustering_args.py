"""The ancestor's `clustering_args`: arguments that stand for keys of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from cellstrata.configs.errors import ConfigError, Problem, did_you_mean, one_of, shown

FLAVORS = ("igraph", "leidenalg")
STANDS_FOR = {
    "resolution": "resolutions",
    "n_iterations": "n_iterations",
    "seed": "seed",
    "random_state": "seed",
    "flavor": "engine",
}
ALLOWED = (*STANDS_FOR, "use_weights")


def folded(clustering: Mapping[str, object]) -> dict[str, object]:
    """Write `clustering_args` as the keys they stand for, over those keys; what is wrong stays behind."""
    whole = dict(clustering)
    arguments = whole.get("clustering_args")
    if not isinstance(arguments, Mapping):
        return whole
    kept = dict(arguments)
    contradictory = "seed" in kept and kept.get("random_state", kept["seed"]) != kept["seed"]
    for name, key in STANDS_FOR.items():
        if name not in kept or (name == "flavor" and kept[name] not in FLAVORS):
            continue
        if key == "seed" and contradictory:
            continue
        whole[key] = kept.pop(name)
    whole["clustering_args"] = kept
    return whole


def check(arguments: object) -> object:
    """Refuse what is left after folding, except `use_weights`. Raises ConfigError."""
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        return arguments
    problems = []
    for name, value in arguments.items():
        if name == "flavor":
            message = f"must be {one_of(FLAVORS)}, not {shown(value)}"
            problems.append(Problem((name,), message, did_you_mean(value, FLAVORS)))
        elif name == "random_state":
            problems.append(Problem((name,), "contradicts `seed`, which means the same", "keep one of them"))
        elif name == "seed":
            continue  # reported with `random_state`, or refused as the key it stands for
        elif name == "use_weights":
            if not isinstance(value, bool):
                problems.append(Problem((name,), f"must be true or false, not {shown(value)}"))
        else:
            near = did_you_mean(name, ALLOWED)
            allowed = f"allowed here: {one_of(ALLOWED)}"
            problems.append(Problem((str(name),), "unknown key", f"{near} ({allowed})" if near else allowed))
    if problems:
        raise ConfigError(problems)
    return dict(arguments)

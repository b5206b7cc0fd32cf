"""How clusters are named: `3_0` in every tree, `leiden_0.5:3_0` in that of one algorithm and resolution."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

ClusterId = tuple[int, ...]
ID = r"[0-9]+(?:_[0-9]+)*"
TREE = r"[a-z]+_[0-9][0-9.]*(?:e-?[0-9]+)?"

_NAMED = re.compile(rf"(?:(?P<tree>{TREE}):)?(?P<id>{ID})", re.ASCII)


class TreeId(NamedTuple):
    """The tree of one algorithm at one base resolution."""

    algorithm: str
    resolution: float

    def __str__(self) -> str:
        """`leiden_0.5`, as columns begin and ids are qualified."""
        return f"{self.algorithm}_{self.resolution}"


class NamedCluster(NamedTuple):
    """A cluster as it is named: in one tree, or with None in each that has a cluster of this id."""

    tree: TreeId | None
    path: ClusterId

    def __str__(self) -> str:
        label = "_".join(map(str, self.path))
        return label if self.tree is None else f"{self.tree}:{label}"


def named_cluster(key: Any) -> NamedCluster | None:
    """Read a key of `clusters`, text or a whole number; None if it is no id."""
    found = None if isinstance(key, (bool, float)) or key is None else _NAMED.fullmatch(str(key))
    if found is None:
        return None
    path = tuple(int(number) for number in found["id"].split("_"))
    if found["tree"] is None:
        return NamedCluster(None, path)
    algorithm, _, resolution = found["tree"].partition("_")
    try:
        return NamedCluster(TreeId(algorithm, float(resolution)), path)
    except ValueError:  # 0.5.1
        return None


def id_hint(key: Any) -> str:
    """Say how ids are written, or what was probably meant by one that is none."""
    parts = re.findall(r"[0-9]+", str(key)) if not isinstance(key, bool) and "-" not in str(key) else []
    if len(parts) > 1 and re.fullmatch(r"[0-9._ ,/]+", str(key)):
        return f'did you mean "{"_".join(parts)}"?'
    return 'ids are written like 3 or "3_0", or "leiden_0.5:3_0" for those of one column'

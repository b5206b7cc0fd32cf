"""What a migration has to say, each thing once for all the keys it holds for."""

from __future__ import annotations

from collections.abc import Iterable

from cellstrata.configs.errors import Path, did_you_mean, dotted

# Words of scAtlasTb and scanpy, and so no slips for words of this package.
_FOREIGN = frozenset(
    ("adjacency", "copy", "directed", "key_added", "knn", "method", "metric_kwds", "neighbors_key", "obsp", "os",
     "output_map", "partition_type", "random_state", "resources_customized", "restrict_to", "transformer")
)  # fmt: skip


class Notes:
    """Collects what was changed or dropped, and why."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, None]] = {}

    def add(self, path: Path, text: str) -> None:
        """Note something of the key at `path` of the old file; () is the file itself."""
        self._places.setdefault(text, {})[dotted(path)] = None

    def drops(self, path: Path, known: Iterable[str], missing: Iterable[str] = ()) -> bool:
        """Note that an unknown key is dropped, and return True.

        Return False, and note nothing, if it looks like a slip for a key of `missing`: dropped, it would
        hide the mistake.
        """
        if is_slip(path[-1], missing):
            return False
        near = None if path[-1] in _FOREIGN else did_you_mean(path[-1], known)
        self.add(path, f"dropped; there is no such key here{f'; {near}' if near else '.'}")
        return True

    def sentences(self) -> list[str]:
        """List the notes, each led by the keys it is about."""
        return [f"{', '.join(places)}: {text}" if any(places) else text for text, places in self._places.items()]


def is_slip(key: object, wanted: Iterable[str]) -> bool:
    """Say whether a key looks like one of these, written wrongly."""
    return key not in _FOREIGN and did_you_mean(key, wanted) is not None

"""A curation as people write it: names, ontology terms, colors and merges of clusters, by column. Form alone.

curator: Jane Doe
columns:
  leiden_0.5_2:
    merge: [["0_1", "0_2"]]
    clusters:
      "0_1": {name: CD4 T cell, ontology: "CL:0000624", color: "#1f77b4"}
      "3_1": AT2
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cellstrata.configs.errors import ConfigError, Path, Problem, did_you_mean, one_of, shown
from cellstrata.configs.loading.yaml_reader import Document, read_config

UNNAMED = ("refuse", "keep")
_KEYS, _OF_COLUMN, _OF_CLUSTER = ("curator", "columns"), ("clusters", "merge", "unnamed"), ("name", "ontology", "color")
_TERM = re.compile(r"(?:CL|ZFA|WBbt):[0-9]{7}|FBbt:[0-9]{8}")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_ID = re.compile(r"[0-9]+(?:_[0-9]+)*")


@dataclass(frozen=True)
class NamedCluster:
    """What is said of one cluster; `path` is where."""

    path: Path
    name: str
    ontology: str | None = None
    color: str | None = None


@dataclass(frozen=True)
class CuratedColumn:
    """What is said of a column: clusters by id, merges as (where, ids), and whether unnamed clusters keep their ids."""

    clusters: Mapping[str, NamedCluster]
    merges: tuple[tuple[Path, tuple[str, ...]], ...] = ()
    keeps_unnamed: bool = False


@dataclass(frozen=True)
class Curation:
    """A curation: who made it, and its columns by name. `lines` tell where each part of the file stands."""

    curator: str
    columns: Mapping[str, CuratedColumn]
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False)


def read_curation(text: str, name: str) -> Curation:
    """Read a curation; `name` is what messages call the file.

    Raises
    ------
    ConfigError
        With all that is wrong with its form, each with its key, its line and the fix.
    """
    reader = _Reader(read_config(text, name))
    found = reader.curation()
    if reader.problems:
        raise ConfigError(reader.problems, name)
    return found


class _Reader:
    def __init__(self, document: Document) -> None:
        self._data, self._lines = document
        self.problems: list[Problem] = []

    def curation(self) -> Curation:
        top = self._mapping((), self._data, _KEYS, "begin with `curator:` and `columns:`")
        if self.problems and not top:
            return Curation("", {})
        curator = self._text(("curator",), top.get("curator"), "name who answers for it, as in `curator: Jane Doe`")
        columns: dict[str, CuratedColumn] = {}
        for name, value in self._mapping(("columns",), top.get("columns"), (), "write obs columns as keys").items():
            columns[str(name)] = self._column(("columns", str(name)), value)
        if "columns" in top and not columns and not self.problems:
            self._say(("columns",), "names no column", "write for example `leiden_0.5_1: {clusters: {0: T cell}}`")
        return Curation(curator, columns, self._lines)

    def _column(self, path: Path, value: object) -> CuratedColumn:
        found = self._mapping(path, value, _OF_COLUMN, "write `clusters:` and the names of clusters by id")
        clusters: dict[str, NamedCluster] = {}
        at = (*path, "clusters")
        for key, said in self._mapping(at, found.get("clusters", {}), (), "write ids as keys, and names").items():
            label = self._id((*at, str(key)), key)
            if label is not None:
                clusters[label] = self._cluster((*at, label), said)
        unnamed = found.get("unnamed", UNNAMED[0])
        if unnamed not in UNNAMED:
            self._say(
                (*path, "unnamed"), f"must be {one_of(UNNAMED)}, not {shown(unnamed)}", did_you_mean(unnamed, UNNAMED)
            )
        return CuratedColumn(clusters, tuple(self._merges((*path, "merge"), found.get("merge", []))), unnamed == "keep")

    def _cluster(self, path: Path, value: object) -> NamedCluster:
        if not isinstance(value, Mapping):
            return NamedCluster(path, self._text(path, value, "write a name, or {name: …, ontology: …, color: …}"))
        found = self._mapping(path, value, _OF_CLUSTER, "")
        name = self._text((*path, "name"), found.get("name"), "every cluster that is described has a name")
        ontology, color = found.get("ontology"), found.get("color")
        if ontology is not None and not (isinstance(ontology, str) and _TERM.fullmatch(ontology)):
            digits = re.search(r"[0-9]{1,7}$", str(ontology))
            near = f"did you mean `CL:{digits[0].zfill(7)}`?" if digits else "write for example `CL:0000084`"
            self._say((*path, "ontology"), f"must be a term of the cell ontology, not {shown(ontology)}", near)
        if color is not None and not (isinstance(color, str) and _COLOR.fullmatch(color)):
            hint = 'write "#rrggbb" with quotes: without, YAML takes # for a comment'
            self._say((*path, "color"), f"must be a color such as #1f77b4, not {shown(color)}", hint)
        return NamedCluster(
            path, name, None if ontology is None else str(ontology), None if color is None else str(color)
        )

    def _merges(self, path: Path, value: object) -> Iterator[tuple[Path, tuple[str, ...]]]:
        fix = 'write lists of ids, as in `merge: [["0_1", "0_2"]]`'
        if not isinstance(value, list):
            return self._say(path, f"must be a list of lists of ids, not {shown(value)}", fix)
        for number, group in enumerate(value):
            at = (*path, number)
            if not isinstance(group, list) or len(group) < 2:
                self._say(at, "must be a list of two ids or more", fix)
                continue
            labels = [self._id((*at, place), key) for place, key in enumerate(group)]
            yield at, tuple(label for label in labels if label is not None)

    def _id(self, path: Path, key: object) -> str | None:
        text = str(key) if isinstance(key, (str, int)) and not isinstance(key, bool) else ""
        if _ID.fullmatch(text):
            return text
        self._say(path, f"{shown(key)} is no id of a cluster", 'ids are written like "3" or "3_1"')
        return None

    def _text(self, path: Path, value: object, fix: str) -> str:
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value.strip()
        if value is None:
            self._say(path, "is missing", fix)
        elif isinstance(value, str):
            self._say(path, f"must be a text that can be seen, not {shown(value)}", fix)
        else:
            self._say(path, f"must be a text, not {shown(value)}", f"put it in quotes; {fix}")
        return ""

    def _mapping(self, path: Path, value: object, keys: tuple[str, ...], fix: str) -> Mapping[object, object]:
        if not isinstance(value, Mapping):
            self._say(path, "is empty" if value is None else f"must be a mapping, not {shown(value)}", fix)
            return {}
        for key in value if keys else ():
            if key not in keys:
                self._say(
                    (*path, str(key)), "is no key of a curation", did_you_mean(key, keys) or f"known: {one_of(keys)}"
                )
        return value

    def _say(self, path: Path, message: str, fix: str | None) -> None:
        self.problems.append(Problem(path, message, fix or None, line_of(self._lines, path)))


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """Return the line on which a part of the file stands, or what it is in; ids may have been read as numbers."""
    for end in range(len(path), 0, -1):
        last = path[end - 1]
        number = (int(last),) if isinstance(last, str) and last.isdecimal() else ()
        for key in (path[:end], (*path[: end - 1], *number)):
            if len(key) == end and key in lines:
                return lines[key]
    return None

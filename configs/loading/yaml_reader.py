"""YAML as its version 1.2 means it: `3_0` and `yes` are text, `1e-3` is a number, `010` is ten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from cellstrata.configs.errors import ConfigError, Path, Problem, shown

# More nodes than any configuration needs: stops aliases of aliases from exploding.
MOST_NODES = 200_000
MOST_TEXT = 8_000_000  # characters, likewise: what is longer is read by mistake


TOO_MANY = "more keys and values than any configuration has"


class Document(NamedTuple):
    """What a text says, and the line on which each part of it starts."""

    data: Any
    lines: dict[Path, int]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain scalars of the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    composed = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.composed += 1
        if self.composed > MOST_NODES:  # before all of it is in memory
            raise yaml.MarkedYAMLError(problem=TOO_MANY, problem_mark=self.get_mark())
        return super().compose_node(parent, index)

    def integer(self, node: ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)

    def decimal(self, node: ScalarNode) -> float:
        text = str(self.construct_scalar(node)).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    def boolean(self, node: ScalarNode) -> bool:
        text = str(self.construct_scalar(node)).lower()
        if text not in ("true", "false"):
            raise ValueError
        return text == "true"


for _kind, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
    ("merge", r"^<<$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.decimal)
_Loader.add_constructor("tag:yaml.org,2002:bool", _Loader.boolean)


def read_config(text: str, name: str) -> Document:
    """Read a YAML 1.2 text; `name` is what messages call it.

    Raises ConfigError, naming the line, if it is no YAML or gives a key twice.
    """
    if len(text) > MOST_TEXT:
        words = f"longer than any configuration, over {MOST_TEXT:,} characters; is it another file?"
        raise ConfigError([Problem((), words)], name)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Document(None, {})
            walk = _Walk(loader)
            walk.visit(node, ())
            if walk.problems:
                raise ConfigError(walk.problems, name)
            return Document(loader.construct_document(node), walk.lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise ConfigError([Problem((), _in_words(error), line=line)], name) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        words = "a character that YAML does not allow (is this a text file?)"
        raise ConfigError([Problem((), words, line=line)], name) from None
    except RecursionError:
        raise ConfigError([Problem((), "nested too deeply to be read")], name) from None
    except ValueError as error:  # a tag such as !!int on a text that is none
        if isinstance(error, ConfigError):
            raise
        raise ConfigError([Problem((), "a value does not fit its `!!` tag")], name) from None


def parse_value(text: str, name: str) -> object:
    """Read a single value as written on the command line. Raises ConfigError as `read_config` does."""
    return read_config(text, name).data


class _Walk:
    """Collects the line of every path, and every key that is given twice."""

    def __init__(self, loader: _Loader) -> None:
        self.loader = loader
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._inside: set[int] = set()
        self._seen = 0

    def visit(self, node: Node, path: Path) -> None:
        self._seen += 1
        if id(node) in self._inside or self._seen > MOST_NODES:
            words = "an alias (`*name`) leads back to itself, or aliases multiply without end"
            raise yaml.MarkedYAMLError(problem=words, problem_mark=node.start_mark)
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._inside.add(id(node))
        if isinstance(node, MappingNode):
            self._mapping(node, path)
        elif isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.visit(item, (*path, index))
        self._inside.discard(id(node))

    def _mapping(self, node: MappingNode, path: Path) -> None:
        first: dict[tuple[bool, object], int] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged.extend(_merged(value_node))
                continue
            key = self._key(key_node)
            same = (isinstance(key, bool), key)
            step = key if isinstance(key, int) and not isinstance(key, bool) else str(key)
            if same in first:
                message = f"the key {shown(key)} is given twice, on lines {first[same]} and {line}"
                self.problems.append(Problem((*path, str(key)), message, "keep one of them", line))
                continue
            first[same] = line
            self.lines.setdefault((*path, step), line)
            self.visit(value_node, (*path, step))
        for other in merged:
            self.visit(other, path)

    def _key(self, node: Node) -> object:
        if not isinstance(node, ScalarNode):
            words = "a list or a mapping cannot be a key"
            raise yaml.MarkedYAMLError(problem=words, problem_mark=node.start_mark)
        return self.loader.construct_object(node)


def _merged(node: Node) -> Iterator[Node]:
    if isinstance(node, SequenceNode):
        yield from node.value
    else:
        yield node


_WORDS = (
    (
        "mapping values are not allowed",
        "a `:` where none can stand; check the indentation, or quote the text",
    ),
    (
        "cannot start any token",
        "a character that cannot stand here; indent with spaces, not tabs, or quote the text",
    ),
    ("could not find expected ':'", "a key without its `:`"),
    ("',' or ']'", "a list opened with `[` lacks a `,` or its `]`"),
    ("',' or '}'", "a mapping opened with `{` lacks a `,` or its `}`"),
    ("expected <block end>", "the indentation does not fit the lines above"),
    ("end of stream", "a quoted text is not closed"),
    (TOO_MANY, f"{TOO_MANY}, over {MOST_NODES:,}; is it another file?"),
    ("undefined alias", "an alias (`*name`) without its anchor (`&name`)"),
    ("another document", "a second document (`---`); one file holds one configuration"),
    ("could not determine a constructor", "a `!` tag that is not known here"),
    ("the stream", "the text ends too early: a `[`, `{` or quote is not closed"),
)


def _in_words(error: yaml.MarkedYAMLError) -> str:
    said = f"{error.problem or ''} {error.context or ''}"
    for found, words in _WORDS:
        if found in said:
            return words
    return f"this is not YAML: {error.problem or 'unreadable'}"

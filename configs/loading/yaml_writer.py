"""Writes YAML that says the same in versions 1.1 and 1.2: what either would take for a number is quoted."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from cellstrata.configs.errors import ConfigError
from cellstrata.configs.loading.yaml_reader import parse_value


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which quotes what YAML 1.1 takes for another kind."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def text(self, value: str) -> yaml.ScalarNode:
        plain = None if _reads_as_itself(value) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=plain)


_Dumper.add_representer(str, _Dumper.text)


def written(data: Mapping[str, object], comments: Sequence[str] = ()) -> str:
    """Write plain data as YAML, led by comments of a line each. `yaml_reader` reads the same data back."""
    return "".join(f"# {_one_line(comment)}\n" for comment in comments) + _dumped(data, flow=None)


def inline(data: Any) -> str:
    """Write plain data as YAML on one line, to be pasted."""
    return _dumped(data, flow=True).strip()


def _dumped(data: object, flow: bool | None) -> str:
    text = yaml.dump(
        data, Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=sys.maxsize
    )
    return str(text)


def _reads_as_itself(text: str) -> bool:
    try:
        return bool(parse_value(text, "") == text)
    except ConfigError:
        return False


def _one_line(comment: str) -> str:
    return "".join(character if character.isprintable() else " " for character in comment)

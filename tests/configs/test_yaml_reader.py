from __future__ import annotations

import math
from pathlib import Path

import pytest

from cellstrata.configs.errors import ConfigError
from cellstrata.configs.loading import load, yaml_reader
from cellstrata.configs.loading.yaml_reader import read_config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("+3", 3),
        ("-3", -3),
        ("3_0", "3_0"),
        ("1_2_1", "1_2_1"),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("false", False),
        ("FALSE", False),
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.5e+2", 150.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("", None),
        ("nULL", "nULL"),
        ("2024-01-02", "2024-01-02"),
        ("0b11", "0b11"),
        ("=", "="),
        ('"3"', "3"),
        ("'true'", "true"),
        ("1_000", "1_000"),
        ("!!str 3", "3"),
    ],
)
def test_core_schema(text: str, value: object) -> None:
    got = read_config(f"a: {text}", "t").data["a"]
    assert got == value
    assert type(got) is type(value)


def test_nan() -> None:
    assert math.isnan(read_config("a: .NaN", "t").data["a"])


def test_lines_and_keys() -> None:
    data, lines = read_config("a: 1\nb:\n  3_0: x\n  3: [1,\n    2]\n", "t")
    assert data == {"a": 1, "b": {"3_0": "x", 3: [1, 2]}}
    assert lines["a",] == 1
    assert lines["b", "3_0"] == 3
    assert lines["b", 3] == 4
    assert lines["b", 3, 1] == 5


def test_merge_keys() -> None:
    data, lines = read_config("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n", "t")
    assert data["y"] == {"a": 1, "b": 3}
    assert lines["y", "a"] == 1
    assert lines["y", "b"] == 4
    assert read_config("x: &x {a: 1}\nz: &z {b: 1}\ny: {<<: [*x, *z]}", "t").data["y"] == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", ["`'a'` is given twice", "lines 1 and 3"]),
        ("h: {2: 1, 0x2: 3}", ["h.2", "twice"]),
        ("a: b: c", ["line 1", "indentation"]),
        ("a:\n\t- b", ["line 2", "tabs"]),
        ("a: [1, 2\nb: 3", ["line 2", "`]`"]),
        ("a: {b: 1", ["`}`"]),
        ("a: 'x", ["line 1"]),
        ("a: 1\n b: 2", ["line 2", "indentation"]),
        ("a: *x", ["anchor"]),
        ("a: &a [*a]", ["alias"]),
        ("a: 1\n---\nb: 2", ["second document"]),
        ("a: !!int x", ["tag"]),
        ("a: !!python/object:os.system x", ["tag"]),
        ("? [1, 2]\n: 3", ["key"]),
        ("a: 1\nb: \x01", ["line 2", "character"]),
    ],
)
def test_refused(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(text, "run.yaml")
    for word in ["run.yaml", *words]:
        assert word in str(caught.value)


def test_alias_bomb_is_stopped() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    with pytest.raises(ConfigError, match="alias"):
        read_config(text, "t")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ConfigError, match="deeply"):
        read_config("[" * 5000 + "]" * 5000, "t")


def test_thousands_of_anchors_are_read_and_more_than_any_file_has_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = "".join(f"k{n}: &a{n} {n}\n" for n in range(2000)) + "".join(f"l{n}: *a{n}\n" for n in range(2000))
    assert read_config(anchors, "t").data["l1999"] == 1999
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
    )
    with pytest.raises(ConfigError, match="alias"):
        read_config(merges, "t")
    monkeypatch.setattr(yaml_reader, "MOST_NODES", 3000)
    with pytest.raises(ConfigError, match="more keys and values than any configuration has, over"):
        read_config(anchors, "t")
    monkeypatch.setattr(yaml_reader, "MOST_TEXT", 1000)
    monkeypatch.setattr(load, "MOST_TEXT", 1000)
    (tmp_path / "long.yaml").write_text(anchors)
    with pytest.raises(ConfigError, match="longer than any configuration"):
        load.read_document(str(tmp_path / "long.yaml"))


def test_nothing_is_made_of_tags() -> None:
    """Tags of Python's would run code under a loader that is not safe."""
    for tag in ("!!python/object/apply:os.system ['true']", "!!python/name:os.system ''", "!Evil {a: 1}"):
        with pytest.raises(ConfigError, match="tag that is not known"):
            read_config(f"a: {tag}", "t")

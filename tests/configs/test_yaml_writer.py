from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.configs.loading.yaml_reader import read_config
from cellstrata.configs.loading.yaml_writer import inline, written

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


TRAPS = ["3_0", "1e-3", "yes", "on", "No", "0x10", "0o10", "010", "null", "~", "", " ", "1", "0.5", ".5", "+.5", ".inf"]
TRAPS += ["true", "True", "<<", "=", "a: b", "a #b", "#a", "- a", "[a", "{a", "*a", "&a", "!a", "%a", "@a", "`a", "? a"]
TRAPS += [
    "a\nb",
    "a\n",
    "\ta",
    "'",
    '"',
    "ü 漢 😀",
    "\x07",
    "\x85",
    "\u2028",
    "\ud83d",
    "1:30",
    "2024-01-01",
    "---",
    "x" * 999,
]
TRAPS += ["word " * 99, "1_000", "1.", "-", "a,b", "a]", "memory://x", "…"]


@pytest.mark.parametrize("text", TRAPS)
def test_text_stays_text(text: str) -> None:
    data = {text: text, "list": [text, [text]], "inner": {text: {text: text}}}
    assert read_config(written(data), "").data == data
    assert read_config(inline(data), "").data == data


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(max_size=9), NESTED, max_size=3))
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    text = written(data, ["one\nline", "\x07 # ü"])
    assert read_config(text, "").data == data
    assert text.startswith("# one line\n#   # ü\n")


@pytest.mark.parametrize("number", [1e-05, 1e17, 1e300, 0.1, 1.0, float("inf"), -3, 10**30, 0])
def test_numbers_stay_numbers(number: float) -> None:
    read = read_config(written({"a": number, 3: [number]}), "").data
    assert read == {"a": number, 3: [number]}
    assert type(read["a"]) is type(number)


def test_what_is_shared_is_written_out() -> None:
    shared = [1, 2]
    assert written({"a": shared, "b": shared}) == "a: [1, 2]\nb: [1, 2]\n"

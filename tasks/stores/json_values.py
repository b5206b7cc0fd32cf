"""Reading JSON objects with types: each value is what its reader says, or the fault names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class WrongJson(ValueError):
    """A JSON object lacks a value, or has one of another type; the message names it."""


@dataclass(frozen=True)
class JsonObject:
    """A JSON object, read by name. Where a method has an `_or_none`, a missing value and null read as None.

    Values that nobody asks for are passed over.
    """

    values: Mapping[str, object]

    @classmethod
    def of(cls, value: object) -> JsonObject:
        """Take a parsed value. Raises WrongJson if it is no object."""
        if not isinstance(value, Mapping):
            raise WrongJson(f"a {type(value).__name__} where an object should be")
        return cls(value)

    def text(self, name: str) -> str:
        """Return a string. Raises WrongJson, as all of these do."""
        return self._required(name, self.text_or_none(name))

    def text_or_none(self, name: str) -> str | None:
        """Return a string."""
        return self._typed(name, str)

    def truth(self, name: str) -> bool:
        """Return true or false."""
        return self._required(name, self.truth_or_none(name))

    def truth_or_none(self, name: str) -> bool | None:
        """Return true or false."""
        return self._typed(name, bool)

    def whole(self, name: str) -> int:
        """Return a whole number."""
        return self._required(name, self.whole_or_none(name))

    def whole_or_none(self, name: str) -> int | None:
        """Return a whole number."""
        return self._typed(name, int)

    def number(self, name: str) -> float:
        """Return a number."""
        return self._required(name, self.number_or_none(name))

    def number_or_none(self, name: str) -> float | None:
        """Return a number."""
        found = self.values.get(name)
        return float(found) if isinstance(found, int) and not isinstance(found, bool) else self._typed(name, float)

    def wholes(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        return self._required(name, self.wholes_or_none(name))

    def wholes_or_none(self, name: str) -> tuple[int, ...] | None:
        """Return a list of whole numbers."""
        found = self._list(name, int)
        return None if found is None else tuple(found)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return self._required(name, self.texts_or_none(name))

    def texts_or_none(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings."""
        found = self._list(name, str)
        return None if found is None else tuple(found)

    def numbers_or_none(self, name: str) -> tuple[float, ...] | None:
        """Return a list of numbers."""
        found = self.values.get(name)
        if found is None:
            return None
        if not isinstance(found, list) or not all(type(each) in (int, float) for each in found):
            raise WrongJson(f"{name!r} is no list of numbers")
        return tuple(map(float, found))

    def objects(self, name: str) -> tuple[JsonObject, ...]:
        """Return a list of objects."""
        found = self._required(name, self.values.get(name))
        if not isinstance(found, list):
            raise WrongJson(f"{name!r} is no list")
        return tuple(map(JsonObject.of, found))

    def object_or_none(self, name: str) -> JsonObject | None:
        """Return an object within this one."""
        found = self.values.get(name)
        return None if found is None else JsonObject.of(found)

    def _required(self, name: str, value: T | None) -> T:
        if value is None:
            raise WrongJson(f"{name!r} is missing")
        return value

    def _typed(self, name: str, kind: type[T]) -> T | None:
        found = self.values.get(name)
        if found is None:
            return None
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            raise WrongJson(f"{name!r} is {found!r}")
        return found

    def _list(self, name: str, kind: type[T]) -> list[T] | None:
        found = self.values.get(name)
        if found is None:
            return None
        if not isinstance(found, list) or not all(type(each) is kind for each in found):
            raise WrongJson(f"{name!r} is no list of {kind.__name__}")
        return found

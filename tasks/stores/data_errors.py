"""What is wrong with data, said so that a user can mend it."""

from __future__ import annotations


class DataError(ValueError):
    """A place (`url`), what in it is wrong (`key`, may be empty) and what to do (`message`)."""

    def __init__(self, url: str, key: str, message: str) -> None:
        self.url, self.key, self.message = url, key, message
        super().__init__(url, key, message)  # the arguments, so that it can be pickled

    def __str__(self) -> str:
        return ": ".join(part for part in (self.url, self.key, self.message) if part)


class InputError(DataError):
    """An input cannot be used as it is."""


class OutputError(DataError):
    """A result cannot be written where it was asked for."""


def said(error: BaseException) -> str:
    """Return what an error says, or its name where it says nothing."""
    return str(error) or type(error).__name__

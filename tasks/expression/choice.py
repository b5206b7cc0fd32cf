"""The expression that a configuration names, in an opened input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cellstrata.configs.expression import ExpressionConfig
from cellstrata.tasks.elements.opening import DataError, InputError, Opened, Root, reading
from cellstrata.tasks.elements.reading import url_of
from cellstrata.tasks.expression.blocks import sampled
from cellstrata.tasks.expression.holdings import contradiction
from cellstrata.tasks.expression.source import Expression, find_expression


@contextmanager
def chosen_expression(source: Opened, asked: ExpressionConfig) -> Iterator[Expression]:
    """Open the values that are asked for; none is read. Raises InputError if they are not there."""
    with source.root() as root:
        with reading(source.url, asked.element):
            expression = find_expression(root, layer=asked.layer, raw=asked.raw)
        yield expression


def problem_of_values(source: Opened, asked: ExpressionConfig, key: str) -> DataError | None:
    """Say what is wrong with the values that `key` of a configuration asks for, also where they are not there."""
    try:
        with source.root() as root:
            return wrong_values(root, asked, key)
    except DataError as error:
        return error


def wrong_values(root: Root, asked: ExpressionConfig, key: str) -> InputError | None:
    """Say what is wrong with the values that `key` of a configuration asks for, as far as a sample tells.

    Raises
    ------
    InputError
        If they are not there.
    """
    with reading(url_of(root), asked.element):
        expression = find_expression(root, layer=asked.layer, raw=asked.raw)
        message = contradiction(sampled(expression), normalize=asked.normalize)
    return InputError(url_of(root), expression.where, f"{message} (`{key}` asks for it)") if message else None

"""What the tests take for a warning."""

import warnings

import pytest

from tests.no_warnings import no_warnings


def test_warnings_are_raised() -> None:
    for warning in (UserWarning("x"), DeprecationWarning("x"), ResourceWarning("unclosed file <_io.FileIO name=3>")):
        with pytest.raises(type(warning)), no_warnings():
            warnings.warn(warning, stacklevel=1)
    with no_warnings(DeprecationWarning):
        warnings.warn("x", DeprecationWarning, stacklevel=1)


@pytest.mark.parametrize(
    "message",
    [
        "Unclosed client session <aiohttp.client.ClientSession object at 0x7f>",
        "Unclosed connector <aiohttp.connector.TCPConnector object at 0x7f>",
        "unclosed transport <_SelectorSocketTransport fd=9>",
        "unclosed <socket.socket fd=9>",
    ],
)
def test_connections_that_another_test_left_are_none(message: str) -> None:
    with no_warnings():
        warnings.warn(message, ResourceWarning, stacklevel=1)

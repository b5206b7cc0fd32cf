"""A configured server that does not answer, or does not let us in: said in plain words, as `deploy` says it."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from cellstrata.flows.server.connection import unanswered

URL = "http://127.0.0.1:9/api"


class Refusal(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"answer {status}")
        self.response = SimpleNamespace(status_code=status)


def test_no_answer_is_told_apart_from_other_errors() -> None:
    said = str(unanswered(RuntimeError(f"Failed to reach API at {URL}/"), URL))
    assert said.startswith(f"no Prefect server answers at {URL}")
    assert "cellstrata ui" in said
    assert unanswered(RuntimeError("another"), URL) is None
    assert unanswered(Refusal(500), URL) is None
    assert unanswered(socket.gaierror("of a store"), URL) is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_the_key(status: int) -> None:
    error = RuntimeError("the client failed")
    error.__cause__ = Refusal(status)
    assert "PREFECT_API_AUTH_STRING" in str(unanswered(error, URL))

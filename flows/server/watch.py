"""Notices that a configured Prefect server is gone: Prefect itself would go on trying, call by call, for very long."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Literal

EVERY = 5.0  # seconds between questions
TIMEOUT = 5.0  # seconds for an answer
PATIENCE = 60.0  # seconds in which nobody listens; a server that is started anew takes about ten
BUSY = 300.0  # seconds without an answer of one that listens: one on SQLite may stand still for a minute


def when_unreachable(url: str, call: Callable[[str], None], ended: threading.Event) -> threading.Thread:
    """Call, from another thread, with a line that says so, when a server that has answered does so no more.

    `url` is that of its API. Any answer counts, also a refusal. Nothing is called for a server that
    never answered: it may be one that only Prefect's own client can reach. Ends when `ended` is set.
    """

    def watch() -> None:
        answered = None
        while not ended.wait(EVERY):
            state = _state(url)
            if state == "answers":
                answered = time.monotonic()
                continue
            patience = BUSY if state == "listens" else PATIENCE
            if answered is not None and time.monotonic() - answered > patience:
                call(f"the Prefect server at {url} has not answered for {patience:.0f} s")
                return

    thread = threading.Thread(target=watch, name="cellstrata-server-watch", daemon=True)
    thread.start()
    return thread


def _state(url: str) -> Literal["answers", "listens", "gone"]:
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return "answers"
    except TimeoutError:
        return "listens"
    except urllib.error.URLError as error:
        return "listens" if isinstance(error.reason, TimeoutError) else "gone"
    except (OSError, ValueError):
        return "gone"
    return "answers"

"""Notices that a configured Prefect server is gone: Prefect itself would go on trying, call by call, for very long."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

EVERY = 5.0  # seconds between questions
TIMEOUT = 5.0  # seconds for an answer
PATIENCE = 60.0  # seconds without an answer; a server that is started anew takes about ten


def when_unreachable(url: str, call: Callable[[str], None], ended: threading.Event) -> threading.Thread:
    """Call, from another thread, with a line that says so, when a server that has answered does so no more.

    `url` is that of its API. Any answer counts, also a refusal. Nothing is called for a server that
    never answered: it may be one that only Prefect's own client can reach. Ends when `ended` is set.
    """

    def watch() -> None:
        answered = None
        while not ended.wait(EVERY):
            if _answers(url):
                answered = time.monotonic()
            elif answered is not None and time.monotonic() - answered > PATIENCE:
                call(f"the Prefect server at {url} has not answered for {PATIENCE:.0f} s")
                return

    thread = threading.Thread(target=watch, name="cellstrata-server-watch", daemon=True)
    thread.start()
    return thread


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True

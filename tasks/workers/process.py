"""What a worker process does when it starts; imported by it alone, so it imports almost nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

from cellstrata.tasks.workers.memory import give_back_freed


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, however it went."""
    give_back_freed()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

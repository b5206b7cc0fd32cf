"""The pieces of work that a run has done, in the order in which they ended."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from cellstrata.tasks.stores.json_values import JsonObject
from cellstrata.tasks.workers.usage import Usage


@dataclass(frozen=True, kw_only=True)
class Work:
    """A piece of work. `name` is that of its task; `asked` when it was handed over, s since 1970, from which on it
    waited until `usage.started`; `splits` are the keys of the splits that were computed in it."""

    name: str
    asked: float
    usage: Usage
    splits: tuple[str, ...] = ()

    def to_json(self, began: float) -> dict[str, object]:
        """Return plain JSON values; times are in s since the run `began`."""
        used = self.usage
        return {
            "name": self.name,
            "asked": round(self.asked - began, 4),
            "started": round(used.started - began, 4),
            "seconds": round(used.seconds, 4),
            "cpu_seconds": round(used.cpu, 4),
            "peak_bytes": used.peak,
            "host": used.host,
            "process": used.process,
            "thread": used.thread,
            "splits": list(self.splits),
        }

    @classmethod
    def from_json(cls, said: JsonObject) -> Work:
        """Read what `to_json` wrote; times stay relative. Raises WrongJson if it is not that."""
        peak = said.number_or_none("peak_bytes")
        usage = Usage(
            started=said.number("started"), seconds=said.number("seconds"), cpu=said.number("cpu_seconds"),
            peak=None if peak is None else int(peak), host=said.text("host"), process=said.whole("process"),
            thread=said.text("thread"),
        )  # fmt: skip
        return cls(name=said.text("name"), asked=said.number("asked"), usage=usage, splits=said.texts("splits"))


@dataclass
class WorkLog:
    """The work of a run, noted from any thread. `began` is when the run did, s since 1970."""

    began: float = field(default_factory=time.time)
    _done: list[Work] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, work: Work) -> None:
        """Note what has ended."""
        with self._lock:
            self._done.append(work)

    @property
    def done(self) -> tuple[Work, ...]:
        """All that has ended so far."""
        with self._lock:
            return tuple(self._done)

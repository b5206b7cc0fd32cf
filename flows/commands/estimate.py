"""How long a run still takes, from how much is settled: steady enough to be read, honest when it slows down."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW = 20.0  # seconds that the rate looks back, or half the time so far, if that is more
SETTLING = 8.0  # seconds after which a new guess has become most of what is shown


@dataclass
class Estimate:
    """Guesses the end from cells times levels settled of `total`. Times are seconds of one steady clock."""

    total: int
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _end: float | None = None
    _told: float = 0.0

    def note(self, now: float, settled: int) -> None:
        """Take note of how much is settled now."""
        if self._seen and settled <= self._seen[-1][1]:
            return
        self._seen.append((now, settled))
        start = self._seen[0][0]
        back = max(WINDOW, (now - start) / 2)
        while len(self._seen) > 2 and self._seen[1][0] < now - back:
            self._seen.popleft()
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        if last <= first or after <= before:
            return
        end = now + (self.total - after) * (last - first) / (after - before)
        if self._end is None:
            self._end = end
        else:  # towards the new guess, faster the longer ago the last one was
            share = min(1.0, max(now - self._told, 0.2) / SETTLING)
            self._end += share * (end - self._end)
        self._told = now

    def left(self, now: float) -> float | None:
        """Return how many seconds are left, None while nothing is known.

        Between two notes it counts down, and stops at the last second.
        """
        return None if self._end is None else max(1.0, self._end - now)


def spoken(seconds: float | None) -> str:
    """Return a time as people say it: `about 40 s left`, `about 12 min left`."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(1, round(seconds / 5) * 5 if seconds >= 10 else round(seconds))} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"

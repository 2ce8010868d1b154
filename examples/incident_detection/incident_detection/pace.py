"""How fast to send: a rate kept evenly, and profiles of rates over time."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

#: What was missed while the sender was held up is made up for, but no more than this many seconds' worth:
#: a crawler that has been suspended must not answer with a flood.
CATCH_UP_S = 0.5

#: A token that lacks less than this is whole: sums of small times are never exact.
ROUNDING = 1e-6

_PART = re.compile(r"(?P<seconds>\d+(?:\.\d+)?)s@(?P<rate>\d+(?:\.\d+)?)")


class Pace:
    """Tokens at a rate: one token, one message. Times are seconds of any steady clock, given by the caller."""

    def __init__(self, rate: float, *, now: float) -> None:
        self._rate = rate
        self._tokens = 0.0
        self._at = now

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self._rate

    def set_rate(self, rate: float, *, now: float) -> None:
        """Change the rate from ``now`` on; 0 pauses."""
        self._fill(now)
        self._rate = rate
        self._tokens = min(self._tokens, self._full())

    def take(self, now: float, at_most: int) -> int:
        """Take the messages that are due, ``at_most`` at once; the rest stays due. None while paused."""
        self._fill(now)
        if self._rate == 0:
            return 0
        due = min(math.floor(self._tokens + ROUNDING), at_most)
        self._tokens -= due
        return due

    def wait_s(self) -> float:
        """Tell the seconds from the last ``take`` until the next message is due (infinite at rate 0)."""
        if self._rate == 0:
            return math.inf
        return max(0.0, (1 - self._tokens) / self._rate)

    def _fill(self, now: float) -> None:
        earned = max(0.0, now - self._at) * self._rate
        self._tokens = max(self._tokens, min(self._tokens + earned, self._full()))
        self._at = max(self._at, now)

    def _full(self) -> float:
        return max(1.0, self._rate * CATCH_UP_S)


@dataclass(frozen=True)
class Part:
    """A stretch of time at one rate (messages per second)."""

    seconds: float
    rate: float


@dataclass(frozen=True)
class Profile:
    """Rates one after the other, such as a quiet start, a peak and a busy rest."""

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str) -> Profile:
        """Read ``30s@100,5s@1000,60s@400``: seconds at messages per second.

        Raises:
            ValueError: a part is written otherwise, or the whole takes no time.
        """
        parts = []
        for part in text.split(","):
            match = _PART.fullmatch(part.strip())
            if not match:
                raise ValueError(f"{part.strip()!r} is not SECONDSs@RATE, such as 30s@100")
            parts.append(Part(float(match["seconds"]), float(match["rate"])))
        profile = cls(tuple(parts))
        if not profile.seconds:
            raise ValueError(f"{text!r} takes no time at all")
        return profile

    @property
    def seconds(self) -> float:
        """How long it takes from start to end."""
        return sum(part.seconds for part in self.parts)

    def at(self, elapsed: float) -> tuple[float, float]:
        """Give the rate at ``elapsed`` seconds from the start, and when (on the same scale) it ends."""
        end = 0.0
        for part in self.parts:
            end += part.seconds
            if elapsed < end:
                return part.rate, end
        return 0.0, math.inf

"""A fair sample of a stream of values, in bounded memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import exp, floor, log, log1p


class Sample:
    """Each value seen is kept with the same chance; as long as there are few, all are.

    Which values are skipped is drawn ahead (Li, "Reservoir-sampling algorithms of time complexity O(n(1+log(N/n)))",
    1994, algorithm L), so that a value which is not kept costs next to nothing.

    Args:
        size: how many values are kept.

    Attributes:
        values: what is kept, in no order.
    """

    __slots__ = ("_choice", "_next", "_seen", "_size", "_weight", "values")

    def __init__(self, size: int) -> None:
        self.values: list[float] = []
        self._size = size
        self._seen = 0
        self._next = size - 1
        self._weight = 1.0
        self._choice = random.Random(0)  # noqa: S311 -- picks samples, guards nothing

    def add(self, values: Sequence[float]) -> None:
        """See some more."""
        if self._seen < self._size:
            missing = self._size - self._seen
            self.values.extend(values[:missing])
            if len(values) < missing:
                self._seen += len(values)
                return
            self._skip()
        end = self._seen + len(values)
        while self._next < end:
            self.values[self._choice.randrange(self._size)] = values[self._next - self._seen]
            self._skip()
        self._seen = end

    def _skip(self) -> None:
        # random() is below 1 and may be 0, of which there is no logarithm.
        self._weight *= exp(log(1.0 - self._choice.random()) / self._size)
        self._next += 1 + floor(log(1.0 - self._choice.random()) / log1p(-self._weight))

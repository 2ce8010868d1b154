"""Counts per second of every signal of every service, as long as the analysis looks back.

One two-dimensional ring of floats, a row per second and a column per signal, so that a thousand services
cost one array operation and not a thousand list walks. A second that nobody spoke for stays NaN: unknown
is not zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True, slots=True, order=True)
class Signal:
    """Name of a column: what is counted (``kind``) and of whom (``of``, a service or a topic)."""

    kind: str
    of: str


class Window:
    """The last ``length_s`` seconds of every signal, in messages per second.

    Not thread-safe: the loop owns it. Times are seconds since the epoch by the broker's clock.
    """

    def __init__(self, length_s: int) -> None:
        if length_s < 1:
            raise ValueError(f"a window of {length_s} s cannot hold a second")
        self.length_s = length_s
        self._columns: dict[Signal, int] = {}
        self._ring: npt.NDArray[np.float64] = np.full((length_s, 8), np.nan)
        self._newest: int | None = None

    @property
    def newest(self) -> int | None:
        """The newest second that anything was added to; None before the first."""
        return self._newest

    def column(self, signal: Signal) -> int:
        """The number of a signal's column, for those who ask often; it stays the same."""
        column = self._columns.get(signal)
        if column is None:
            column = len(self._columns)
            if column == self._ring.shape[1]:
                self._ring = np.concatenate([self._ring, np.full_like(self._ring, np.nan)], axis=1)
            self._columns[signal] = column
        return column

    def add(self, signal: Signal, second: int, amount: float) -> bool:
        """Count ``amount`` messages in a second; False if that second has already left the window."""
        if not self._admit(second):
            return False
        column = self.column(signal)
        row = second % self.length_s
        before = self._ring[row, column]
        self._ring[row, column] = amount if math.isnan(before) else before + amount
        return True

    def spread(self, signal: Signal, start: float, end: float, amount: float) -> None:
        """Count ``amount`` messages evenly over ``start`` to ``end``; seconds outside the window are dropped.

        Raises:
            ValueError: the span is empty or reversed: there is no second to count in.
        """
        if not end > start:
            raise ValueError(f"the span {start} to {end} is empty")
        first = max(math.floor(start), math.ceil(end) - self.length_s)
        for second in range(first, math.ceil(end)):
            overlap = min(end, second + 1) - max(start, second)
            self.add(signal, second, amount * overlap / (end - start))

    def spread_all(self, spans: Iterable[tuple[Signal, float, float, float]]) -> None:
        """Do :meth:`spread` for many spans (signal, start, end, amount) at once.

        It takes some array operations per second of the longest span, instead of some per span.

        Raises:
            ValueError: a span is empty or reversed.
        """
        taken = list(spans)
        columns = [self.column(signal) for signal, _, _, _ in taken]
        starts, ends, amounts = [s[1] for s in taken], [s[2] for s in taken], [s[3] for s in taken]
        self.spread_into(columns, starts, ends, amounts)

    def spread_into(
        self, columns: Sequence[int], starts: Sequence[float], ends: Sequence[float], amounts: Sequence[float]
    ) -> None:
        """Do :meth:`spread_all` with signals given as :meth:`column` numbers.

        Raises:
            ValueError: a span is empty or reversed.
        """
        if not columns:
            return
        into, begins, until, counts = (np.array(columns), *(np.array(v, dtype=float) for v in (starts, ends, amounts)))
        if not (until > begins).all():
            raise ValueError("a span is empty")
        self._admit(math.ceil(until.max()) - 1)
        newest = self._newest if self._newest is not None else 0
        firsts = np.maximum(np.floor(begins), newest - self.length_s + 1)
        rates, lasts = counts / (until - begins), np.ceil(until)
        for second in range(max(0, int((lasts - firsts).max()))):
            at = firsts + second
            counted = at < lasts
            overlaps = np.minimum(until, at + 1) - np.maximum(begins, at)
            rows, cells = (at[counted] % self.length_s).astype(int), into[counted]
            known = self._ring[rows, cells]
            self._ring[rows, cells] = np.where(np.isnan(known), 0.0, known)
            np.add.at(self._ring, (rows, cells), (rates * overlaps)[counted])

    def frame(self, until: int, seconds: int | None = None) -> pd.DataFrame:
        """The ``seconds`` complete seconds before ``until`` (exclusive), oldest first.

        Returns:
            A frame indexed by second with one column per :class:`Signal`, NaN where nothing is known.
        """
        length = min(seconds or self.length_s, self.length_s)
        index = np.arange(until - length, until)
        values = self._ring[index % self.length_s, : len(self._columns)].copy()
        newest = self._newest if self._newest is not None else until - length - 1
        values[(index > newest) | (index <= newest - self.length_s)] = np.nan
        return pd.DataFrame(values, index=pd.Index(index, name="second"), columns=self._column_index())

    def values(self, signals: Sequence[Signal], until: int, seconds: int) -> npt.NDArray[np.float64]:
        """The ``seconds`` complete seconds before ``until`` of some signals, a row per signal, oldest first.

        Returns:
            An array of its own, NaN where nothing is known, also for a signal that nothing was ever added to.
        """
        return self.values_at([self._columns.get(signal, -1) for signal in signals], until, seconds)

    def values_at(self, columns: Sequence[int], until: int, seconds: int) -> npt.NDArray[np.float64]:
        """Do :meth:`values` with signals given as :meth:`column` numbers; nothing is known of a number below zero."""
        length = min(seconds, self.length_s)
        index, wanted = np.arange(until - length, until), np.array(columns, dtype=int)
        values: npt.NDArray[np.float64] = self._ring[np.ix_(index % self.length_s, wanted)].T.copy()
        newest = self._newest if self._newest is not None else until - length - 1
        values[:, (index > newest) | (index <= newest - self.length_s)] = np.nan
        values[wanted < 0] = np.nan
        return values

    def _column_index(self) -> pd.Index:
        return pd.Index(list(self._columns), tupleize_cols=False, dtype=object)

    def _admit(self, second: int) -> bool:
        if self._newest is None:
            self._newest = second
            return True
        if second <= self._newest - self.length_s:
            return False
        if second > self._newest:
            skipped = min(second - self._newest, self.length_s)
            rows = np.arange(second - skipped + 1, second + 1) % self.length_s
            self._ring[rows] = np.nan
            self._newest = second
        return True

"""What one instance manages on a class of devices: a robust estimate with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

#: Samples that are kept: the newest ones, so that a lasting change of the work is learned within minutes.
KEPT = 16
#: From the median absolute deviation to the standard deviation of a normal distribution.
MAD_TO_SIGMA = 1.4826
#: Standard error of a median over that of a mean, normal distribution: sqrt(pi / 2).
MEDIAN_ERROR = 1.2533


@dataclass(frozen=True, slots=True)
class Estimate:
    """Messages per second of one instance that has always something to do.

    Attributes:
        samples: the newest measurements, oldest first, messages/s.
        count: measurements ever made.
        at: when the newest was made, seconds since the epoch.
        rate: median of the samples.
        error: standard error of that median, from their median absolute deviation.
    """

    samples: tuple[float, ...]
    count: int
    at: float
    rate: float
    error: float

    @classmethod
    def of(cls, samples: tuple[float, ...], count: int, at: float) -> Estimate:
        """Estimate from samples; at least one.

        Raises:
            ValueError: there is none.
        """
        if not samples:
            raise ValueError("an estimate needs a sample")
        rate = median(samples)
        sigma = MAD_TO_SIGMA * median(abs(sample - rate) for sample in samples)
        return cls(samples, count, at, rate, MEDIAN_ERROR * sigma / math.sqrt(len(samples)))

    def add(self, sample: float, at: float) -> Estimate:
        """The estimate with one more sample; a lone odd one hardly moves the median."""
        return Estimate.of((*self.samples, sample)[-KEPT:], self.count + 1, at)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "samples": list(self.samples), "count": self.count, "at": self.at, "rate": self.rate,
            "error": self.error,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Estimate:
        """Read what :meth:`as_dict` wrote."""
        return cls.of(tuple(float(s) for s in values["samples"]), int(values["count"]), float(values["at"]))

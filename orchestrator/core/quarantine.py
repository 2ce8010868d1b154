"""A device that failed is left alone for a while, longer each time it fails again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why a device gets no new instance, and until when.

    Attributes:
        device: which.
        reason: what happened last, in words.
        until: when it may be tried again, seconds since the epoch.
        failures: failures in a row; an instance that proves itself there ends the row.
    """

    device: str
    reason: str
    until: float
    failures: int = 1


def after_failure(
    before: Quarantine | None, device: str, reason: str, now: float, first_s: float, most_s: float
) -> Quarantine:
    """The quarantine that follows a failure: ``first_s``, doubled with each failure in a row, at most ``most_s``.

    Args:
        before: the device's last quarantine, over or not; None when it has worked since.
        device: which.
        reason: what happened, in words.
        now: seconds since the epoch.
        first_s: seconds of the first.
        most_s: seconds of the longest; never shorter than the first.
    """
    failures = 1 if before is None else before.failures + 1
    # beyond 2^30 every limit is reached, and a float must not overflow
    length = min(first_s * 2.0 ** min(failures - 1, 30), max(first_s, most_s))
    return Quarantine(device, reason, now + length, failures)

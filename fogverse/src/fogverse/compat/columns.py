"""What ``Profiling`` measures."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

#: The columns of FogVerse, and what they mean here. Times are of the monotonic clock; a KB has 1000 bytes.
COLUMNS = {
    "topic from": "topic of the consumed message; empty if none was consumed",
    "topic to": "topic that it was sent to; empty if nothing was sent",
    "frame": "header `frame` of what was sent, -1 without",
    "offset received": "offset of the consumed message, -1 if none was consumed",
    "frame delay (ms)": "from header `timestamp` (UTC, as `2026-11-24 19:00:00.0`) to after decoding, or -1",
    "msg creation delay (ms)": "from the message's timestamp to after decoding; two clocks",
    "consume time (ms)": "waiting for the message: from before to after `receive`",
    "size data received (KB)": "of the payload received",
    "decode time (ms)": "in `decode`",
    "size data decoded (KB)": "of what `decode` returned",
    "process time (ms)": "in `process`; of a ParallelRunnable with the wait for a process",
    "size data processed (KB)": "of what `process` returned",
    "encode time (ms)": "in `encode`",
    "size data encoded (KB)": "of what `encode` returned",
    "send time (ms)": "from before `send` to the broker's acknowledgement; to after `send` if nothing was sent",
    "size data sent (KB)": "of the payload sent",
    "offset sent": "offset that the broker gave it, -1 if nothing was sent",
}
TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"


def header(headers: Iterable[tuple[str, Any]] | None, name: str) -> str | None:
    """The first header of a name as text; None without."""
    for found, value in headers or ():
        if found == name and value is not None:
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return None


def since_header_ms(text: str | None, now: datetime) -> float:
    """Milliseconds since the moment that a header names; -1 if it names none."""
    try:
        then = datetime.strptime(text or "", TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return -1
    return round((now - then).total_seconds() * 1000, 2)


def whole(text: str | None) -> int:
    """A header's number; -1 if it has none."""
    try:
        return int(text or "-1")
    except ValueError:
        return -1

"""The report an instance sends each second: version 1 of the observer message."""

from __future__ import annotations

import json

from fogverse.meter import Reading
from fogverse.settings import Settings

VERSION = 1


def report(
    settings: Settings,
    reading: Reading,
    *,
    workers: int,
    rss_mb: float | None,
    cpu: float | None,
    waits_for: str | None = None,
) -> bytes:
    """One report as JSON.

    Args:
        settings: who reports.
        reading: what happened since the last report.
        workers: messages that can be worked on at once (what is, not what was asked for: the master
            divides ``busy_s`` by it).
        rss_mb: resident memory in MB, None if unknown.
        cpu: share of one core, None if unknown.
        waits_for: the release without which it does not begin; None once it works.
    """
    return json.dumps(
        {
            "v": VERSION,
            "service": settings.service,
            "instance": settings.instance,
            "host": settings.host,
            "source_topic": settings.source_topic,
            "target_topic": settings.target_topic,
            "interval_s": round(reading.interval_s, 3),
            "consumed": reading.consumed,
            "emitted": reading.emitted,
            "failed": reading.failed,
            "busy_s": round(reading.busy_s, 6),
            "workers": workers,
            "in_flight": reading.in_flight,
            "lag_ms_p95": _rounded(reading.lag_ms_p95),
            "rss_mb": _rounded(rss_mb),
            "cpu": _rounded(cpu, 3),
            "retries": reading.retries,
            "dead_letters": reading.dead_letters,
            "stuck": reading.stuck,
            "queue_ms_p95": _rounded(reading.queue_ms_p95),
            "process_ms_p50": _rounded(reading.process_ms_p50, 3),
            "process_ms_p95": _rounded(reading.process_ms_p95, 3),
            **({} if waits_for is None else {"waits_for": waits_for}),
        },
        separators=(",", ":"),
    ).encode()


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)

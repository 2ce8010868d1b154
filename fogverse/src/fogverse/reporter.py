"""Telling the master each second how this instance is doing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Producer

from fogverse.kafka_config import report_config
from fogverse.meter import Meter, Reading
from fogverse.report import report
from fogverse.settings import Settings
from fogverse.throttle import Throttle
from fogverse.usage import CpuShare, rss_mb

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

#: Seconds between two reports.
PERIOD_S = 1.0
#: Seconds the last report may take.
LAST_S = 1.0


class Reporter:
    """A thread with a small producer of its own.

    A thread, because the callable may block the loop for long and an instance that is silent looks dead. A
    producer of its own, because the one for outputs waits out any outage, and reports must neither queue up
    there nor be waited for: of these at most 30 are kept, for at most 5 seconds.

    Args:
        settings: who reports, where to.
        meter: what happened.
        workers: messages worked on at once.
        beat: told each second what the report says.

    Attributes:
        waits_for: the release without which the instance does not begin; None once it works.
    """

    def __init__(self, settings: Settings, meter: Meter, workers: int, beat: Callable[[Reading], None]) -> None:
        self.waits_for: str | None = None
        self._settings = settings
        self._meter = meter
        self._workers = workers
        self._beat = beat
        self._cpu = CpuShare()
        self._dropped = 0
        self._throttle = Throttle(quiet_s=60.0)
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="fogverse-reporter", daemon=True)
        # Its connection errors are those of the loop's clients, which log them.
        self._producer = Producer(report_config(settings) | {"error_cb": lambda _error: None}, logger=kafka_log)

    def start(self) -> None:
        """Send the first report and go on each second."""
        self._thread.start()

    def now(self) -> None:
        """Send a report at once, besides the regular ones."""
        self._wake.set()

    def close(self) -> None:
        """Send the last report and end; waits for it no longer than ``LAST_S``."""
        self._ending = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        self._send()
        due = monotonic() + PERIOD_S
        while not self._ending:
            if not self._wake.wait(max(0.0, due - monotonic())):
                # Missed periods (a suspended device) are left out, not made up for.
                due = max(due + PERIOD_S, monotonic())
            self._wake.clear()
            if not self._ending:
                self._send()
        self._send()
        self._producer.flush(LAST_S)
        self._producer.purge()
        self._producer.poll(0)

    def _send(self) -> None:
        reading = self._meter.read()
        self._beat(reading)
        value = report(
            self._settings,
            reading,
            workers=self._workers,
            rss_mb=rss_mb(),
            cpu=self._cpu.read(),
            waits_for=self.waits_for,
        )
        try:
            self._producer.produce(
                self._settings.observer_topic, value, self._settings.service, on_delivery=self._answered
            )
        except BufferError:
            self._drop("its queue is full")
        except KafkaException as error:
            self._drop(error.args[0].str())
        self._producer.poll(0)

    def _answered(self, error: KafkaError | None, _record: object) -> None:
        if error is not None:
            self._drop(error.str())

    def _drop(self, reason: str) -> None:
        self._dropped += 1
        if not self._ending and self._throttle.allows("dropped"):
            log.warning(
                "reports to %s are dropped: %s (dropped_reports=%d since start; processing goes on)",
                self._settings.observer_topic,
                reason,
                self._dropped,
            )

"""Dynamic partition inside an instance: its source topic grows with its group, where no master does it."""

from __future__ import annotations

import logging
import threading

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from fogverse.autoscaler import ConsumerAutoScaler, GrowthError
from fogverse.kafka_config import admin_config
from fogverse.settings import Settings
from fogverse.stopping import Stopping

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

#: Seconds between two looks at the group, besides those that a change of membership asks for.
LOOK_S = 5.0
#: Seconds that one look may wait for a group that rebalances.
PATIENCE_S = 10.0
#: Seconds that the end of the run waits for a request that is under way.
END_S = 1.0


class _EndedError(Exception):
    """The run ends while something is waited for."""


class Growth:
    """A thread beside the loop that keeps a partition for every member of the group.

    Of the broker's clients it uses the admin client only: the loop's consumer must not be asked by another thread. What
    fails is logged once per cause, and tried again; processing never depends on it.

    Args:
        settings: whose group and source topic.
        stopping: with a stop asked for, nothing is made or grown any more.
    """

    def __init__(self, settings: Settings, stopping: Stopping) -> None:
        self._settings = settings
        self._stopping = stopping
        self._wake = threading.Event()
        self._cause = ""
        self._thread = threading.Thread(target=self._run, name="fogverse-growth", daemon=True)

    def start(self) -> None:
        """Look at once, and go on."""
        self._thread.start()

    def look(self) -> None:
        """Look now: the membership has changed. From any thread."""
        self._wake.set()

    def close(self) -> None:
        """End, after a stop was asked for. A request under way is waited for no longer than ``END_S``."""
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(END_S)

    def _run(self) -> None:
        admin = AdminClient(admin_config(self._settings) | {"error_cb": lambda _error: None}, logger=kafka_log)
        scaler = ConsumerAutoScaler(admin, ordering=self._settings.ordering, pause=self._pause)
        topic, group = self._settings.source_topic, self._settings.group_id
        while not self._stopping.requested:
            admin.poll(0)
            try:
                scaler.ensure(group, (topic,), PATIENCE_S)
            except _EndedError:
                return
            except (GrowthError, KafkaException, ValueError) as error:
                self._failed(f"{error}")
            else:
                self._cause = ""
            self._wake.wait(LOOK_S)
            self._wake.clear()

    def _pause(self, seconds: float) -> None:
        # Woken for a change of membership it looks early, which does no harm.
        self._wake.wait(seconds)
        self._wake.clear()
        if self._stopping.requested:
            raise _EndedError

    def _failed(self, cause: str) -> None:
        if cause != self._cause and not self._stopping.requested:
            self._cause = cause
            log.warning(
                "topic %s is not looked after: %s (processing goes on)",
                self._settings.source_topic,
                " ".join(cause.split()),
            )

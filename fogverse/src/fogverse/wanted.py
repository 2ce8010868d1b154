"""Which releases of a service may start by themselves: the deployment says so on a small compacted topic.

A device that was off during an upgrade boots with an old release and would consume at once. So whatever starts without
a deployment (at boot, after a crash, by hand) asks first. A record: key ``SERVICE``, value
``{"service", "releases": [newest, ...], "at", "by"}``; the last one counts. Nothing is ever executed by what it says:
who writes there can hold instances back, and no more.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from time import monotonic
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from fogverse.kafka_config import consumer_config
from fogverse.kafka_errors import is_refusal, is_unknown_topic, refused
from fogverse.settings import Settings
from fogverse.stopping import Stopping
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

#: Seconds that the broker may take for one answer.
ANSWER_S = 5.0
#: Seconds that reading the topic may take in all; it holds a record per service, more is somebody's flood.
READ_S = 20.0
#: Seconds between two questions while the answer is no.
AGAIN_S = 3.0
#: Seconds between two questions while there is no answer.
RETRY_S = 1.0
#: Releases of one service that may be named; in an upgrade there are two.
MOST_RELEASES = 16

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

Releases = tuple[str, ...]


def releases_topic(observer_topic: str) -> str:
    """Name of the topic beside the observer topic; ``orchestrator.wanted`` writes it."""
    return f"{observer_topic}-releases"


def releases_of(value: bytes | None) -> Releases | None:
    """Read a record's value, newest release first; None when it says nothing or is none of ours."""
    try:
        names = json.loads(value or b"{}")["releases"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(names, list) or not 0 < len(names) <= MOST_RELEASES:
        return None
    return tuple(names) if all(isinstance(name, str) and _NAME.fullmatch(name) for name in names) else None


def ask(settings: Settings) -> Releases | None:
    """The releases of the service that may start by themselves, newest first; None when nothing is said about it.

    Raises:
        KafkaException: the broker does not answer, or refuses us, or the topic (_Refused: us, whatever we ask).
    """
    topic, told = releases_topic(settings.observer_topic), list[KafkaError]()
    config: dict[str, Any] = consumer_config(settings) | {"enable.partition.eof": True, "error_cb": told.append}
    consumer = Consumer(config, logger=kafka_log)  # it joins nothing: partitions are assigned by hand
    try:
        return _read(consumer, topic, settings.service.encode())
    except KafkaException as error:
        if is_refusal(error.args[0]):
            raise
        # What was asked only says that nobody answered; that a password is wrong comes this way.
        consumer.poll(0)
        if refusal := next(filter(is_refusal, told), None):
            raise _Refused(refusal) from error
        raise
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, service: bytes) -> Releases | None:
    described = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    if described.error is not None:
        if is_unknown_topic(described.error):
            return None
        raise KafkaException(described.error)
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    return _last(consumer, service)


def _last(consumer: Consumer, service: bytes) -> Releases | None:
    found, until = None, monotonic() + READ_S
    while monotonic() < until:
        record = consumer.poll(ANSWER_S)
        if record is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        error = record.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return found
        if error is not None:
            raise KafkaException(error)
        if record.key() == service:
            found = releases_of(record.value())
    # What comes later may say otherwise, also about a service that was not named so far.
    reason = f"the topic was not read to its end within {READ_S:.0f} s: does somebody flood it?"
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, reason))


class _Refused(KafkaException):
    """The broker does not let us in at all, so that nothing can be consumed either."""


class Gate:
    """Lets a release run that a deployment starts, or that is wanted; others wait until they are.

    Args:
        settings: who asks.
        stopping: ends the wait.
        waits: told again and again while it is closed: why in words, and the release that is waited for if known.
    """

    def __init__(self, settings: Settings, stopping: Stopping, waits: Callable[[str, str | None], None]) -> None:
        self._settings = settings
        self._stopping = stopping
        self._waits = waits
        self._throttle = Throttle(quiet_s=60.0)

    def opens(self) -> bool:
        """Wait until the release may run; False when the run is to stop before."""
        release = self._settings.release
        if release is None or self._settings.deployed == release:
            return True
        while not self._stopping.requested:
            try:
                wanted = ask(self._settings)
            except _Refused as error:
                self._hold(f"asks which release is wanted: {refused('consumer', error.args[0])}", None)
                self._stopping.wait(AGAIN_S)
                continue
            except KafkaException as error:
                if is_refusal(error.args[0]):
                    topic = releases_topic(self._settings.observer_topic)
                    log.warning("%s cannot be read (%s): release %s runs unasked", topic, error.args[0].str(), release)
                    return True
                self._hold(f"asks which release is wanted: {error.args[0].str()}", None)
                self._stopping.wait(RETRY_S)
                continue
            if wanted is None or release in wanted:
                return True
            self._hold(f"waits for release {wanted[0]}, has {release}: a master or site.yml brings it", wanted[0])
            self._stopping.wait(AGAIN_S)
        return False

    def _hold(self, why: str, wanted: str | None) -> None:
        self._waits(why, wanted)
        if self._throttle.allows(wanted or "no answer"):
            log.warning("nothing is consumed yet: it %s", why)

"""The crawler: sends short messages to a topic at a set rate, as a feed of posts would.

From another program::

    crawler = Crawler("127.0.0.1:19092", topic="analyze", rate=200)
    crawler.start()
    crawler.set_rate(1000)
    ...
    acknowledged = crawler.stop()

By hand: ``python -m incident_detection.crawler --bootstrap-servers HOST:PORT --profile "30s@100,5s@1000"``.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import Producer

from .feed import CrawlerError, Feed
from .labelled import read_labelled
from .pace import Pace, Profile
from .texts import variations

__all__ = ["Crawler", "CrawlerError"]

#: Seconds that ``stop`` waits for outstanding acknowledgements, unless told.
FLUSH_S = 30.0

_TICK_S = 0.005  # messages due within one tick go out together: waking for each would cost a core
_TURN_S = 0.1  # acknowledgements are looked at at least this often
_BATCH = 500  # messages sent before looking again at the acknowledgements


class Crawler:
    """Sends ``{"id", "text", "sent_ms"}`` at a rate, from a thread and with a producer of its own.

    Ids are ``<run>-<number>``, the run's name being new for each crawler and the numbers counting up from 1:
    a reader of the pipeline's end can tell what is missing and what came twice. Messages spread at random
    over all partitions, a new one being noticed within 2 s; with ``keyed`` the id is the key as well.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str = "analyze",
        *,
        rate: float = 200,
        profile: Profile | None = None,
        duration_s: float | None = None,
        count: int | None = None,
        texts: Iterator[str] | None = None,
        keyed: bool = False,
        run: str | None = None,
        settings: Mapping[str, str] | None = None,
        producer: Callable[[dict[str, Any]], Any] = Producer,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Describe what to send; nothing happens before ``start``.

        Args:
            bootstrap_servers: ``host:port`` of the broker, or several with commas.
            topic: where to; it must exist.
            rate: messages per second, until ``set_rate`` says otherwise.
            profile: rates over time in place of ``rate``; the crawler ends with it.
            duration_s: end after so many seconds.
            count: end after so many messages.
            texts: what to send; variations of the example's corpus unless given.
            keyed: send the id as the message's key.
            run: beginning of the ids; new unless given.
            settings: further librdkafka settings, such as those for TLS and SASL.
            producer: makes the producer from its settings.
            clock: steady seconds.
            wait: sleeps the given seconds, or less if ``set_rate`` or ``stop`` is called meanwhile.
        """
        self._feed = Feed(
            bootstrap_servers,
            topic,
            run=run or f"c{uuid.uuid4().hex[:8]}",
            keyed=keyed,
            settings=settings,
            producer=producer,
        )
        self._profile = profile
        self._duration_s = profile.seconds if profile and duration_s is None else duration_s
        self._count = count
        self._texts = texts or variations([example.text for example in read_labelled()])
        self._clock = clock
        self._wake = threading.Event()
        self._wait = wait or self._wake.wait
        self._stopping = threading.Event()
        self._rate = None if profile else _sane(rate)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=f"crawler-{self.run}", daemon=True)

    @property
    def run(self) -> str:
        """The common beginning of this crawler's ids."""
        return self._feed.run

    @property
    def sent(self) -> int:
        """Messages given to Kafka so far."""
        return self._feed.sent

    @property
    def acknowledged(self) -> int:
        """Messages that Kafka has confirmed to have so far."""
        return self._feed.acknowledged

    @property
    def failed_ids(self) -> tuple[str, ...]:
        """Ids of messages given up so far; Kafka may have them all the same."""
        return tuple(self._feed.failed_ids)

    def start(self) -> None:
        """Connect and begin to send. The producer lives in the calling thread's network namespace.

        Raises:
            CrawlerError: a setting is wrong, the broker does not answer within 10 s, or it has no such topic.
        """
        self._feed.connect()
        self._thread.start()

    def set_rate(self, rate: float) -> None:
        """Send at ``rate`` messages per second from now on; 0 pauses.

        Takes the place of a profile's rates; the profile's length still ends the crawler.

        Raises:
            ValueError: the rate is negative or not finite.
        """
        self._rate = _sane(rate)
        self._wake.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until count, duration or profile is done; False when ``timeout_s`` has passed before."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stop(self, timeout_s: float = FLUSH_S) -> int:
        """Send no more, wait for outstanding acknowledgements and tell how many there were in all.

        What is unacknowledged after ``timeout_s`` is given up and named in ``failed_ids``. May be called
        again, and on a crawler that never started.

        Raises:
            CrawlerError: sending has failed for good; counts and ids are those up to then.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._feed.close(timeout_s)
        if self._error is not None:
            raise CrawlerError(f"sending failed after {self.sent} messages: {self._error}") from self._error
        return self.acknowledged

    def _work(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # whatever it is, whoever calls stop() must hear of it
            self._error = error

    def _send_all(self) -> None:
        start = self._clock()
        end = start + (math.inf if self._duration_s is None else self._duration_s)
        rate, until_s = self._rate_at(0.0)
        pace = Pace(rate, now=start)
        while not self._stopping.is_set():
            now = self._clock()
            moment = min(now, end, start + until_s)  # a late wake-up must not stretch a rate beyond its time
            for _ in range(pace.take(moment, self._left())):
                self._feed.send(next(self._texts), unless=self._stopping)
            self._feed.poll()
            if now >= end or self._left() == 0:
                return
            self._wake.clear()  # before the rate is read: one that is set later ends the wait
            rate, until_s = self._rate_at(now - start)
            pace.set_rate(rate, now=moment)
            pause = min(max(pace.wait_s(), _TICK_S), _TURN_S)
            self._wait(max(0.0, min(pause, start + until_s - now, end - now)))

    def _rate_at(self, elapsed_s: float) -> tuple[float, float]:
        """Give the rate and the second, counted from the start, up to which it holds."""
        if self._rate is None:
            return self._profile.at(elapsed_s) if self._profile else (0.0, math.inf)
        return self._rate, math.inf

    def _left(self) -> int:
        return _BATCH if self._count is None else min(_BATCH, self._count - self.sent)


def _sane(rate: float) -> float:
    if not 0 <= rate < math.inf:
        raise ValueError(f"a rate of {rate} messages per second: it takes a number from 0 on")
    return rate


if __name__ == "__main__":
    from .crawl import main

    sys.exit(main())

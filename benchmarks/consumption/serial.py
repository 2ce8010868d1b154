"""A contender: the loop that everybody writes first. With a callable that does nothing it is the bare loop."""

from __future__ import annotations

import signal
import time
from functools import partial

from confluent_kafka import Consumer, Message, Producer

from consumption.order import Order, ordered
from consumption.work import PLAIN

COMMIT_S = 1.0
AT_ONCE = 500


def run(order: Order) -> None:
    """Consume, work, produce; once a second flush and commit, so that nothing is lost. Until SIGTERM."""
    work = PLAIN[order.work]
    consumer, producer = Consumer(order.consumer()), Producer(order.producer() | {"queue.buffering.max.messages": 0})
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    consumer.subscribe([order.source])

    def one() -> list[Message]:
        record = consumer.poll(0.1)
        return [] if record is None else [record]

    fetch = partial(consumer.consume, AT_ONCE, 0.1) if order.variant == "bulk" else one
    due, unsaved = time.monotonic() + COMMIT_S, False
    while not stopped:
        for record in fetch():
            producer.produce(order.target, work(record.value() or b""), record.key())
            unsaved = True
        producer.poll(0)
        if unsaved and time.monotonic() >= due:
            producer.flush()
            consumer.commit(asynchronous=False)
            due, unsaved = time.monotonic() + COMMIT_S, False
    if unsaved:
        producer.flush()
        consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    run(ordered())

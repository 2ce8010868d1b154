"""A contender: the seed's way, a pool of processes behind a list of tasks that is gathered when it is full.

Written for the benchmark after FogVerse's ``ParallelRunnable.run(process_number, max_running_task, processor)``: each
message becomes a task that has the work done in the pool and sends its result; with more than ``max_running_task``
tasks nothing more is received until *all* of them are done. Its client is replaced by the one of the other contenders,
and its commit on a timer, which loses messages, by one after the gathering.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from confluent_kafka import Consumer, Producer

from consumption.order import Order, ordered
from consumption.work import PLAIN

#: Tasks per process before they are gathered: with fewer, the processes are idle for more of the time.
RUNNING_EACH = 16


class ParallelRunnable:
    """The seed's loop."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._consumer = Consumer(order.consumer())
        self._producer = Producer(order.producer())
        self._consumer.subscribe([order.source])
        self._stopped = False

    def stop(self) -> None:
        """End after what is running."""
        self._stopped = True

    async def run(self, process_number: int, max_running_task: int, processor: Callable[[bytes], bytes]) -> None:
        """Receive and offload until stopped."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        running: list[asyncio.Task[None]] = []

        async def offload(key: bytes | None, value: bytes) -> None:
            result = await loop.run_in_executor(pool, processor, value)
            self._producer.produce(self._order.target, result, key)

        async def gather() -> None:
            await asyncio.gather(*running)
            running.clear()
            self._producer.flush()
            self._consumer.commit(asynchronous=False)

        with ProcessPoolExecutor(process_number) as pool:
            while not self._stopped:
                if len(running) > max_running_task:
                    await gather()
                record = self._consumer.poll(0) or await loop.run_in_executor(None, self._consumer.poll, 0.1)
                if record is None:
                    if running:  # the seed would leave them uncommitted until more messages come
                        await gather()
                    continue
                running.append(asyncio.create_task(offload(record.key(), record.value() or b"")))
            if running:
                await gather()
        self._consumer.close()


async def main(order: Order) -> None:
    """Run it with the pool that the order asks for."""
    await ParallelRunnable(order).run(order.workers, order.workers * RUNNING_EACH, PLAIN[order.work])


if __name__ == "__main__":
    asyncio.run(main(ordered()))

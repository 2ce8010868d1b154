"""The processes of a ``ParallelRunnable``."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

log = logging.getLogger(__name__)


class WorkerPool:
    """A pool that is made anew when one of its processes dies, and whose processes die with this one.

    Args:
        size: processes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool = self._make()

    async def start(self) -> None:
        """Start every process; returns when each has answered."""
        barrier = [asyncio.wrap_future(self._pool.submit(os.getpid)) for _ in range(self._size)]
        await asyncio.gather(*barrier)

    async def run(self, function: Callable[[Any], Any], data: Any) -> Any:
        """Call the function in a process.

        Raises:
            BrokenProcessPool: the process died; the next call gets a new one.
        """
        pool = self._pool
        try:
            return await asyncio.wrap_future(pool.submit(function, data))
        except BrokenProcessPool:
            if pool is self._pool:
                log.error("a process of the pool has died: all of them are replaced")  # noqa: TRY400
                self._pool = self._make()
                pool.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """End the processes; one that is still at work is killed."""
        pool = self._pool
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            await asyncio.to_thread(process.join, 1)
            if process.is_alive():
                process.kill()
                await asyncio.to_thread(process.join)
        pool.shutdown()

    def _make(self) -> ProcessPoolExecutor:
        # Spawned, not forked: threads and Kafka's clients do not survive a fork.
        return ProcessPoolExecutor(self._size, multiprocessing.get_context("spawn"), _begin)


def _begin() -> None:
    """In a new process: the node decides when it ends, not a signal to all of the unit; and it ends with the node."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)

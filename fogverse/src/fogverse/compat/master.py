"""A master of one's own: observers that hear every observer message."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from fogverse.compat.calls import settled
from fogverse.compat.event_handler import missing
from fogverse.compat.nodes import Consumer
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)


class MasterObserver(ABC):
    """One that listens to what nodes report."""

    @abstractmethod
    def on_receive(self, data: Any) -> Any:
        """Hear one message: a ``Report``, ``Throughput`` or ``Pair`` of ``orchestrator.core.report``. May be async."""

    @abstractmethod
    async def start(self) -> None:
        """Runs beside the messages, from the master's start on; may return at once."""

    @abstractmethod
    async def stop(self) -> None:
        """The master ends; what ``start`` still does is cancelled afterwards."""


class Master(Consumer):
    """Reads the observer topic and hands each message to all observers, at least once.

    It neither decides nor deploys; that does ``MasterComponent().master_event_handler()``, beside which it may run,
    in a group of its own. A message that is of no known shape is counted and left out. An observer that raises ends
    the master, and the message will be heard again.

    Args:
        consumer_topic: the observer topic.
        consumer_servers: where it is.
        consumer_group_id: group under which its progress is committed.
        observers: who listens.

    Attributes:
        rejected: messages left out.
    """

    def __init__(
        self, consumer_topic: str, consumer_servers: str, consumer_group_id: str, observers: Iterable[MasterObserver]
    ) -> None:
        self.consumer_topic = consumer_topic
        self.consumer_servers = consumer_servers
        self.group_id = consumer_group_id
        self.rejected = 0
        self._observers = tuple(observers)
        self._started_observers: list[asyncio.Task[None]] = []
        self._throttle = Throttle()
        try:
            from orchestrator.core.report import Rejected, parse  # noqa: PLC0415 -- not there on devices
        except ModuleNotFoundError as error:
            raise missing("Master", error) from error
        self._parse: Callable[[bytes | None], Any] = parse
        self._rejection: type[Exception] = Rejected
        super().__init__()

    async def _start(self) -> None:
        self._started_observers = [asyncio.create_task(observer.start()) for observer in self._observers]
        for task in self._started_observers:
            task.add_done_callback(self._observer_returned)
        await super()._start()

    def decode(self, data: Any) -> Any:
        """The message, or None if it is of no known shape."""
        try:
            return self._parse(data)
        except self._rejection as refusal:
            self.rejected += 1
            if self._throttle.allows("rejected"):
                log.warning("%s is left out (%d so far): %s", self.message.place, self.rejected, refusal)
            return None

    async def process(self, data: Any) -> None:
        """Tell the observers."""
        if data is not None:
            for observer in self._observers:
                await settled(observer.on_receive(data))

    async def close_consumer(self) -> None:
        """Stop the observers, then leave the group."""
        for observer in self._observers:
            await observer.stop()
        for task in self._started_observers:
            task.cancel()
        await asyncio.gather(*self._started_observers, return_exceptions=True)
        await super().close_consumer()

    def _observer_returned(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an observer's start() has failed: the master ends", exc_info=error)
            self.stop("an observer has failed")

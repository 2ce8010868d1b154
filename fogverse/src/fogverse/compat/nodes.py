"""The bases of nodes."""

from __future__ import annotations

from fogverse.compat.clients import AbstractConsumer, AbstractProducer, AIOKafkaConsumer, AIOKafkaProducer
from fogverse.compat.parallel import ParallelRunnable
from fogverse.compat.runnable import Runnable


class Producer(AbstractConsumer, AIOKafkaProducer, Runnable):
    """A node that makes data in ``receive`` and sends it to a topic; with ``Consumer`` one that consumes and sends."""


class Consumer(AIOKafkaConsumer, AbstractProducer, Runnable):
    """A node that consumes topics; what it sends goes where its ``send`` puts it."""


class ParallelProducer(AbstractConsumer, AIOKafkaProducer, ParallelRunnable):
    """``Producer`` with a pool of processes."""


class ParallelConsumer(AIOKafkaConsumer, AbstractProducer, ParallelRunnable):
    """``Consumer`` with a pool of processes."""

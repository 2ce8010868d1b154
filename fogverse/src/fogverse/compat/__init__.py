"""FogVerse's classes with their names and call shapes, on this runtime's engine. ``docs/from-fogverse.md`` explains.

from fogverse.compat import Consumer, Producer

class MyNode(Consumer, Producer):
    def process(self, data):
        return data.upper()
"""

from fogverse.autoscaler import ConsumerAutoScaler
from fogverse.compat.clients import AbstractConsumer, AbstractProducer, AIOKafkaConsumer, AIOKafkaProducer
from fogverse.compat.columns import COLUMNS
from fogverse.compat.component import MasterComponent
from fogverse.compat.config import get_config
from fogverse.compat.master import Master, MasterObserver
from fogverse.compat.nodes import Consumer, ParallelConsumer, ParallelProducer, Producer
from fogverse.compat.observer import ProducerObserver
from fogverse.compat.parallel import ParallelRunnable, Processor
from fogverse.compat.profiling import Profiling
from fogverse.compat.record import ConsumerRecord, RecordMetadata, TopicPartition
from fogverse.compat.runnable import Runnable

__all__ = [
    "COLUMNS",
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "AbstractConsumer",
    "AbstractProducer",
    "Consumer",
    "ConsumerAutoScaler",
    "ConsumerRecord",
    "Master",
    "MasterComponent",
    "MasterObserver",
    "ParallelConsumer",
    "ParallelProducer",
    "ParallelRunnable",
    "Processor",
    "Producer",
    "ProducerObserver",
    "Profiling",
    "RecordMetadata",
    "Runnable",
    "TopicPartition",
    "get_config",
]

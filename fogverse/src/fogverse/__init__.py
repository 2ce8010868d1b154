"""The runtime of FogVerse services: consume a Kafka topic, process, produce to the next.

from fogverse import Executor

def process(message):
    return message.value.upper()

Executor(process, source_topic="analyze", target_topic="client", group_id="analyzer").run()
"""

from fogverse.executor import Executor
from fogverse.exit_codes import ExitCode
from fogverse.message import Message, Output
from fogverse.settings import Settings, SettingsError

__version__ = "0.1.0"

__all__ = ["Executor", "ExitCode", "Message", "Output", "Settings", "SettingsError", "__version__"]

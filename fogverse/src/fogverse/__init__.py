"""The runtime of FogVerse services: consume a Kafka topic, process, produce to the next.

from fogverse import Executor

def process(message):
    return message.value.upper()

Executor(process, source_topic="analyze", target_topic="client", group_id="analyzer").run()
"""

from typing import TYPE_CHECKING

from fogverse.exit_codes import ExitCode
from fogverse.message import Message, Output

if TYPE_CHECKING:
    from fogverse.executor import Executor
    from fogverse.settings import Settings, SettingsError

__version__ = "0.1.0"

__all__ = ["Executor", "ExitCode", "Message", "Output", "Settings", "SettingsError", "__version__"]


def __getattr__(name: str) -> object:
    """Import what needs a Kafka client when it is asked for: a worker process imports this package without one."""
    if name == "Executor":
        from fogverse.executor import Executor  # noqa: PLC0415

        return Executor
    if name in ("Settings", "SettingsError"):
        from fogverse import settings  # noqa: PLC0415

        return getattr(settings, name)
    raise AttributeError(f"module fogverse has no attribute {name}")

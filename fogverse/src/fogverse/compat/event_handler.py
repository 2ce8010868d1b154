"""Running the orchestrator's master from a program: in a thread beside the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from fogverse.compat.signals import stopped_by_signals

INVENTORY_VARIABLE = "FOGVERSE_INVENTORY"


class MasterMissingError(ImportError):
    """The orchestrator is not installed here; the text says how to mend that."""


def missing(what: str, error: ModuleNotFoundError) -> Exception:
    """What to raise when an import of the orchestrator has failed."""
    if (error.name or "").partition(".")[0] != "orchestrator":
        return error
    return MasterMissingError(
        f"{what} needs the orchestrator, which is not installed in this environment: pip install "
        "fogverse-orchestrator on the master's machine (devices do without it)"
    )


class MasterEventHandler:
    """The master: watches every service of its inventory and starts consumers where they are missing.

    Args:
        inventory: path of the inventory; None leaves the choice to ``FOGVERSE_INVENTORY`` and the orchestrator.
    """

    def __init__(self, inventory: str | Path | None = None) -> None:
        self._inventory = inventory or os.environ.get(INVENTORY_VARIABLE) or None
        self._stop = threading.Event()

    def stop(self) -> None:
        """End what is under way and return from ``run``; from any thread. What runs on devices goes on running."""
        self._stop.set()

    async def run(self) -> None:
        """Run until ``stop()``, SIGTERM, SIGINT or cancellation.

        Raises:
            MasterMissingError: the orchestrator is not installed.
            OrchestratorError: of the orchestrator: the inventory is wrong, no broker answers; the text says more.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def tell(error: BaseException | None) -> None:
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def work() -> None:
            try:
                self._work()
            except BaseException as error:
                loop.call_soon_threadsafe(tell, error)
            else:
                loop.call_soon_threadsafe(tell, None)

        # A thread of its own: the master may enter a network namespace, which it does not leave again.
        thread = threading.Thread(target=work, name="fogverse-master", daemon=True)
        with stopped_by_signals(lambda _reason: self._stop.set()):
            thread.start()
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError:
                self._stop.set()
                await asyncio.wait({ended})
                raise
        thread.join()

    def _work(self) -> None:
        try:
            from orchestrator.broker import ledger  # noqa: PLC0415 -- not there on devices
            from orchestrator.cli.context import Options, open_context  # noqa: PLC0415
            from orchestrator.cli.run import build  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise missing("MasterComponent.master_event_handler()", error) from error
        context = open_context(Options(Path(self._inventory) if self._inventory else None))
        master = build(context)
        master.stop = self._stop
        master.run(ledger.read(context.inventory.kafka.client_options(), context.settings.ledger_topic))

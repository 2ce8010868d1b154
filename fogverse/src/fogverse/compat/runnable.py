"""FogVerse's loop: one message after the other through the hooks."""

from __future__ import annotations

import asyncio
from typing import Any

from fogverse.compat.calls import hook, settled
from fogverse.compat.delivery import CURRENT
from fogverse.compat.node import Node, payload
from fogverse.exit_codes import ExitCode


class Runnable(Node):
    """Receives, decodes, processes, encodes and sends, with a hook before and after each. Hooks may be async.

    The order: ``_before_start``, ``_start``, ``_after_start``; in each turn ``_before_receive``, ``receive``,
    ``_after_receive``, ``_before_decode``, ``decode``, ``_after_decode``, ``_before_process``, ``process``,
    ``_after_process``, ``_before_encode``, ``encode``, ``_after_encode``, ``_before_send``, ``send``, ``_after_send``;
    ``on_error`` if something has failed for good; ``_before_close``, ``_close``, ``_after_close``.
    """

    async def run(self) -> ExitCode:
        """Run until SIGTERM, SIGINT, ``stop()`` or an error, then drain. Returns how it ended, for ``sys.exit``."""
        return await self._lead(self._turns)

    async def _turns(self) -> None:
        while not self._ends:
            await self._turn()

    async def _turn(self) -> None:
        await hook(self, "_before_receive")
        self.message = await self._received()
        if self.message is None:
            await asyncio.sleep(0)  # a source that has nothing must not hold up the loop
            return
        delivery = self._delivery
        token = CURRENT.set(delivery)
        try:
            await hook(self, "_after_receive", self.message)
            await emit(self, await self._worked(await decoded(self, self.message)))
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            await self._settle(delivery, error)
            if delivery is None or isinstance(error, asyncio.CancelledError):
                raise
        else:
            await self._settle(delivery, None)
        finally:
            CURRENT.reset(token)
            self._delivery = None

    async def _worked(self, data: Any) -> Any:
        await hook(self, "_before_process", data)
        result = await settled(self.process(data))
        await hook(self, "_after_process", result)
        return result


async def decoded(node: Any, received: Any) -> Any:
    """The decoding part of a turn."""
    value = payload(received)
    await hook(node, "_before_decode", value)
    data = await settled(node.decode(value))
    await hook(node, "_after_decode", data)
    return data


async def emit(node: Any, result: Any) -> None:
    """The encoding and sending part of a turn."""
    await hook(node, "_before_encode", result)
    encoded = await settled(node.encode(result))
    await hook(node, "_after_encode", encoded)
    await hook(node, "_before_send", encoded)
    await settled(node.send(encoded))
    await hook(node, "_after_send", encoded)

"""Calling what may be plain or asynchronous, and may not be there."""

from __future__ import annotations

import inspect
from typing import Any


async def settled(result: Any) -> Any:
    """The result of a call, awaited if it has to be."""
    return await result if inspect.isawaitable(result) else result


async def hook(node: object, name: str, *arguments: Any) -> None:
    """Call a method of the node if it has it."""
    method = getattr(node, name, None)
    if callable(method):
        await settled(method(*arguments))

"""How a callable is called, and what becomes of what it returns: one message at a time, or a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fogverse.message import Message, Output, WrongOutputError, outputs_of


class Call:
    """The two shapes a callable may have.

    Args:
        in_batches: it takes a list of messages.
        target_topic: where outputs go that name no topic.
    """

    def __init__(self, *, in_batches: bool, target_topic: str | None) -> None:
        self.in_batches = in_batches
        self._target_topic = target_topic

    def argument(self, messages: Sequence[Message]) -> Any:
        """What to call it with; several messages only if it takes batches."""
        return list(messages) if self.in_batches else messages[0]

    def outputs(self, returned: object, messages: Sequence[Message]) -> list[list[Output]]:
        """The outputs of each message.

        Raises:
            WrongOutputError: it returned what it should not.
        """
        if not self.in_batches:
            # A generator does its work while it is read: that is the function's time and its failure too.
            return [outputs_of(returned, messages[0], self._target_topic)]
        if returned is None:
            return [[] for _message in messages]
        if not isinstance(returned, list | tuple) or isinstance(returned, Message | Output):
            raise WrongOutputError(
                f"a batch returned {type(returned).__name__}: return None, or a list with one entry for each message"
            )
        if len(returned) != len(messages):
            raise WrongOutputError(
                f"a batch of {len(messages)} messages returned a list of {len(returned)}: it needs one entry for "
                "each message, in their order (None for one without output)"
            )
        return [
            outputs_of(entry, message, self._target_topic) for entry, message in zip(returned, messages, strict=True)
        ]

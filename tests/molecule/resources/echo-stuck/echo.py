"""A release that starts, becomes a member, and finishes no message."""

import threading


def process(message: bytes) -> bytes:
    """Wait for ever."""
    threading.Event().wait()
    return message

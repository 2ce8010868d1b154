"""The stage that the scenarios deploy: what comes in goes out, after a moment."""

import time


def process(message: bytes) -> bytes:
    """Return the message as it came; a hundred of them take a second."""
    time.sleep(0.01)
    return message

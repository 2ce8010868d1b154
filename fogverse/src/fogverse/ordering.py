"""What the order that consumers keep allows."""

from __future__ import annotations


def refusal(ordering: str) -> str | None:
    """Why topics of consumers with this ordering are not grown; None if they may be."""
    if ordering == "none":
        return None
    return (
        f"a topic whose consumers keep an order (ordering {ordering}) is not grown: its keys would move to other "
        "partitions while their older messages are still under way; use more workers in each process, or stop its "
        "producers, drain it, and grow it by hand"
    )

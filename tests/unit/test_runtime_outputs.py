"""What a callable may return, and what happens when it returns something else or fails."""

from __future__ import annotations

import pytest

from fogverse import Message, Output
from fogverse.message import WrongOutputError, outputs_of

MESSAGE = Message(b"in", b"key", (("trace", b"1"),), "analyze", 3, 42, 1_000)


def test_bytes_keep_key_and_headers() -> None:
    """Else the next stage loses the order of a key and the trace of a message."""
    assert outputs_of(b"out", MESSAGE, "client") == [Output(b"out", b"key", (("trace", b"1"),), "client")]


def test_an_output_says_all_itself_and_its_topic_wins() -> None:
    assert outputs_of(Output(None, b"k"), MESSAGE, "client") == [Output(None, b"k", (), "client")]
    assert outputs_of(Output(b"x", topic="alerts"), MESSAGE, None) == [Output(b"x", None, (), "alerts")]


def test_none_and_an_empty_iterable_mean_no_output_even_for_a_sink() -> None:
    assert outputs_of(None, MESSAGE, None) == []
    assert outputs_of([], MESSAGE, None) == []


def test_several_keep_their_order_and_a_message_is_passed_on() -> None:
    found = outputs_of((x for x in (b"1", MESSAGE, Output(b"3"))), MESSAGE, "client")
    assert [output.value for output in found] == [b"1", b"in", b"3"]


@pytest.mark.parametrize("returned", ["text", 7, {"a": 1}, bytearray(b"x"), [None], Output("x"), Output(b"x", "k")])  # type: ignore[arg-type]
def test_anything_else_is_refused_in_words(returned: object) -> None:
    """Else a forgotten encode() would produce garbage, or nothing, without a word."""
    with pytest.raises(WrongOutputError, match="bytes"):
        outputs_of(returned, MESSAGE, "client")


def test_an_output_without_any_topic_is_refused_with_the_mend() -> None:
    with pytest.raises(WrongOutputError, match="FOGVERSE_TARGET_TOPIC"):
        outputs_of(b"x", MESSAGE, None)

"""The small parts of FogVerse's surface."""

from __future__ import annotations

import asyncio
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fogverse.compat import MasterComponent, ProducerObserver
from fogverse.compat.codec import decode, encode, size_bytes
from fogverse.compat.signals import stopped_by_signals
from fogverse.settings import SettingsError
from orchestrator.core.report import Pair, Throughput, parse


@dataclass
class Deployment:
    service_name: str
    max_instance: int


def sent_by(say: Callable[[ProducerObserver, Callable[[str, bytes], Any]], Any]) -> list[tuple[str, bytes]]:
    sent: list[tuple[str, bytes]] = []
    say(ProducerObserver("obs", clock=lambda: 12.7), lambda topic, payload: sent.append((topic, payload)))
    return sent


def test_throughput_is_what_the_master_understands() -> None:
    """Else FogVerse's nodes report into the void."""
    [(topic, payload)] = sent_by(lambda observer, send: observer.send_total_successful_messages("client", 3, send))
    assert topic == "obs"
    assert parse(payload) == Throughput(target_topic="client", total_messages=3, timestamp=12)


@pytest.mark.parametrize("configs", [{"service_name": "a", "max_instance": 2}, Deployment("a", 2), None])
def test_a_pair_is_what_the_master_understands(configs: Any) -> None:
    [(_, payload)] = sent_by(lambda observer, send: observer.send_input_output_ratio_pair("in", "out", configs, send))
    told = None if configs is None else {"service_name": "a", "max_instance": 2}
    assert parse(payload) == Pair(source_topic="in", target_topic="out", deploy_configs=told)


def test_a_pair_for_each_of_several_sources_and_nothing_without_a_topic() -> None:
    """A node without input or output has no ratio; FogVerse then fails in an await of None."""
    assert len(sent_by(lambda o, send: o.send_input_output_ratio_pair(["a", "b"], "out", None, send))) == 2
    assert not sent_by(lambda o, send: o.send_input_output_ratio_pair(None, "out", None, send))
    assert not sent_by(lambda o, send: o.send_total_successful_messages("", 1, send))
    with pytest.raises(TypeError, match="a mapping, a dataclass"):
        sent_by(lambda o, send: o.send_input_output_ratio_pair("in", "out", object(), send))


def test_what_is_returned_may_be_awaited_or_not() -> None:
    """FogVerse's examples do both, with plain and with asynchronous functions."""
    observer = ProducerObserver("obs")

    async def send(topic: str, _payload: bytes) -> str:
        return topic

    async def all_ways() -> list[Any]:
        return [
            await observer.send_total_successful_messages("t", 1, send),
            await observer.send_total_successful_messages("t", 1, lambda *_: "plain"),
            await observer.send_total_successful_messages(None, 1, send),
        ]

    assert asyncio.run(all_ways()) == ["obs", "plain", None]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("/tmp/w-never-made"),)


def test_nothing_that_comes_in_is_unpickled() -> None:
    """Whoever can write to a topic would run code on every device that reads it."""
    numpy = pytest.importorskip("numpy")
    pickled = encode_array(numpy, numpy.array([Evil()], dtype=object))
    assert decode(pickled) == pickled
    assert decode(pickle.dumps(Evil())) == pickle.dumps(Evil())
    assert not Path("/tmp/w-never-made").exists()


def encode_array(numpy: Any, array: Any) -> bytes:
    import io  # noqa: PLC0415

    written = io.BytesIO()
    numpy.save(written, array, allow_pickle=True)
    return written.getvalue()


def test_text_bytes_and_arrays_come_back_as_they_went() -> None:
    numpy = pytest.importorskip("numpy")
    assert (decode(encode("grün")), decode(encode(b"\xff")), encode(None)) == ("grün", b"\xff", None)
    array = numpy.arange(6).reshape(2, 3)
    assert (decode(encode(array)) == array).all()
    assert decode(encode([1, 2])).tolist() == [1, 2]
    with pytest.raises(TypeError, match="override encode"):
        encode(7)  # FogVerse sends seven zero bytes
    with pytest.raises(TypeError, match="override encode"):
        encode([object()])
    assert (size_bytes("grün"), size_bytes(array), size_bytes(None)) == (5, array.nbytes, 0)


def test_signals_reach_every_node_and_are_given_back() -> None:
    """Else a second node in the process would not hear SIGTERM, or Ctrl-C would be dead after the last one."""
    before = signal.getsignal(signal.SIGTERM)
    heard: list[str] = []
    with stopped_by_signals(lambda name: heard.append("a" + name)):
        with stopped_by_signals(lambda name: heard.append("b" + name)):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert heard == ["aSIGTERM", "bSIGTERM", "aSIGINT"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_wrong_settings_of_the_auto_scaler_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEEP_TIME", "soon")
    with pytest.raises(SettingsError, match="SLEEP_TIME=soon: a number of seconds"):
        MasterComponent().consumer_auto_scaler()

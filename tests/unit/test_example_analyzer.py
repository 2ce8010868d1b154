"""The example's analyzer and alerts: one output for every input whatever comes, and lines that are safe to print."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogverse import Message
from incident_detection import alerts, model
from incident_detection.labelled import read_labelled

Analyze = Callable[[bytes], dict[str, Any]]


@pytest.fixture(scope="module")
def analyze(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analyze]:
    path = tmp_path_factory.mktemp("model") / "model.json"
    model.Model.train(read_labelled()).save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "DEFAULT_MODEL", path)
        patch.delitem(sys.modules, "incident_detection.analyzer", raising=False)
        process = importlib.import_module("incident_detection.analyzer").process

        def analyze(value: bytes) -> dict[str, Any]:
            out = process(Message(value, topic="analyze", partition=2, offset=7))
            assert isinstance(out, bytes)
            fields: dict[str, Any] = json.loads(out, parse_constant=pytest.fail)
            return fields

        yield analyze


def test_an_incident_is_found_and_other_fields_travel_along(analyze: Analyze) -> None:
    """Lost: the verdict, the id to count by, and what earlier stages have added."""
    out = analyze(b'{"id": "c1-0000001", "text": "Flood in the valley, houses under water", "sent_ms": 5}')
    assert out.pop("score") > 0.9
    assert out == {
        "id": "c1-0000001",
        "text": "Flood in the valley, houses under water",
        "sent_ms": 5,
        "incident": True,
        "keyword": "flood",
    }


def test_what_is_no_incident_comes_out_too(analyze: Analyze) -> None:
    """Lost: counting by id what got lost on the way."""
    out = analyze(b'{"id": 3, "text": "this song is fire"}')
    assert (out["id"], out["incident"], out["keyword"]) == (3, False, None)
    assert out["score"] < 0.5


@pytest.mark.parametrize(
    ("value", "identity", "reason"),
    [
        (b"", "analyze[2]@7", "Expecting value"),
        (b"\xff\xfe\x00", "analyze[2]@7", "decode"),
        (b"[1]", "analyze[2]@7", "a JSON list, not an object"),
        (b"[" * 100_000, "analyze[2]@7", ""),
        (b'{"text": 5}', "analyze[2]@7", "text is a int, not a string"),
        (b'{"id": "a"}', "a", "text is a NoneType, not a string"),
        (b'{"id": "a", "text": "fire", "x": NaN}', "a", "JSON compliant"),
        (b'{"id": 1e999, "text": 5}', "analyze[2]@7", "not a string"),
        (b'{"id": "a", "text": "' + "é".encode() * 400_000 + b'"}', "a", "bytes is above"),
    ],
    ids=str,
)
def test_what_cannot_be_read_comes_out_with_the_reason(
    analyze: Analyze, value: bytes, identity: str, reason: str
) -> None:
    """Lost: a service that survives any message; one raised exception would stop its partition for good."""
    out = analyze(value)
    assert reason in out.pop("error")
    assert out == {"id": identity, "text": "", "incident": False, "keyword": None, "score": 0.0}


def test_a_message_without_an_id_is_known_by_its_place(analyze: Analyze) -> None:
    out = analyze(b'{"text": "fire"}')
    assert out["id"] == "analyze[2]@7"
    assert "error" not in out


_TEXT = st.text("aé \ud800\x00#@1<", max_size=20)


@given(
    st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from(["id", "text", "x"]),
        st.none() | st.booleans() | st.integers() | st.floats() | _TEXT | st.lists(_TEXT),
    ).map(lambda fields: json.dumps(fields).encode())
)
def test_every_input_has_one_readable_output(analyze: Analyze, value: bytes) -> None:
    """Lost: at-least-one output per input, for inputs nobody has thought of."""
    out = analyze(value)
    assert {"id", "text", "incident", "keyword", "score"} <= out.keys()
    assert 0 <= out["score"] <= 1


def test_an_artifact_without_a_model_fails_when_it_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lost: a broken release seen at its start and rolled back, not at the first message."""
    monkeypatch.setattr(model, "DEFAULT_MODEL", tmp_path / "model.json")
    monkeypatch.delitem(sys.modules, "incident_detection.analyzer", raising=False)
    with pytest.raises(model.ModelError, match="no model at"):
        importlib.import_module("incident_detection.analyzer")


def _verdict(**fields: object) -> Message:
    verdict = {"id": 1, "text": "Fire!", "incident": True, "keyword": "fire", "score": 0.987} | fields
    return Message(json.dumps(verdict).encode(), topic="client", offset=4, timestamp_ms=1_700_000_000_000)


def test_an_incident_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the alerts."""
    alerts.process(_verdict())
    assert capsys.readouterr().out == "2023-11-14T22:13:20Z  fire            0.99  Fire!\n"


def test_an_incident_without_keyword_or_time_is_printed_too(capsys: pytest.CaptureFixture[str]) -> None:
    alerts.process(_verdict(keyword=None)._replace(timestamp_ms=None))
    assert capsys.readouterr().out == "(no time)  ?               0.99  Fire!\n"


def test_what_is_no_incident_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    alerts.process(_verdict(incident=False))
    assert capsys.readouterr() == ("", "")


def test_a_strangers_text_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a log that says what happened; control characters could forge lines or hide them."""
    alerts.process(_verdict(text="a\x1b[2J\r\nb\u202e\ud800c", keyword="x\ny"))
    assert capsys.readouterr().out.endswith("  x y             0.99  a [2J b c\n")


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b'{"incident": true}', b'{"incident": true, "keyword": 1}'])
def test_what_is_no_verdict_is_named_and_skipped(value: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: alerts that go on after a message of somebody else."""
    alerts.process(Message(value, topic="client", partition=0, offset=9))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("client[0]@9: not a verdict of the analyzer: ")


def test_alerts_by_hand_explain_wrong_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert alerts.main(["--bootstrap-servers", "nowhere"]) == 2
    assert "host:port is needed" in capsys.readouterr().err

"""What a simulation is given: shapes, files of rates, settings from the command line, recordings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli.main import main
from orchestrator.errors import SimulationInvalid
from orchestrator.settings import Settings
from orchestrator.simulate import changes, fleet, picture
from orchestrator.simulate.recording import Moment, header, ledger_line, line, read
from orchestrator.simulate.replay import lag_area, replay
from orchestrator.simulate.run import simulate
from orchestrator.simulate.shapes import SHAPES, from_csv


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_the_same_each_time(name: str) -> None:
    """Lost otherwise: that two policies, or two versions, were tried on the same traffic."""
    first, second = SHAPES[name](), SHAPES[name]()
    assert (first.rates == second.rates).all()
    assert (first.rates >= 0).all()
    assert all(0 < change < len(first.rates) for change in first.changes)


def test_rates_are_read_from_a_file(tmp_path: Path) -> None:
    """Lost otherwise: trying a policy on one's own traffic."""
    file = tmp_path / "mine.csv"
    file.write_text("time,rate\n100,10\n\n110,20\n")
    assert from_csv(file).rates.tolist() == [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 lines"),
        ("1,2\n", "1 lines"),
        ("time,rate\n1,2\n1,3\n", ":3: the time does not increase"),
        ("1,2\n2,x\n", ":2: '2,x' is not time,rate"),
        ("1,2\n2,-1\n", ":2: time and rate must be finite"),
        ("1,2\n2,nan\n", ":2: time and rate must be finite"),
        ("1,2\n9999999,3\n", "spans 9999998 s"),
    ],
)
def test_a_file_that_is_no_rates_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    """Lost otherwise: the line to mend."""
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(SimulationInvalid, match=words):
        from_csv(file)


def test_a_key_is_found_where_it_belongs() -> None:
    """Lost otherwise: `--set`, the whole point of a what-if."""
    found = changes.read(["z_value=2", "max_instances=4", "sleep_time=2", "rate=50", "settings.z_value=4"], "ratio")
    assert (found.policy, found.service) == ({"z_value": 2}, {"max_instances": 4})
    assert (found.settings, found.model.rate) == ({"sleep_time": 2, "z_value": 4}, 50)
    service = found.to_service(fleet.service(), "ratio")
    assert (service.policy.name, service.max_instances) == ("ratio", 4)
    assert found.to_settings(Settings()).z_value == 4


@pytest.mark.parametrize("pair", ["nonsense=1", "z_value", "model.z_value=1", "rate=-1", "rate=[", "max_instances=0"])
def test_a_wrong_setting_ends_with_code_2(pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a simulation of something else than what was asked."""
    assert main(["simulate", "spikes", "--policy", "ratio", "--set", pair]) == 2
    assert "--set" in capsys.readouterr().err


def recording(file: Path, seconds: int, rate: int, manages: int) -> None:
    """One instance that manages less than what comes in."""
    devices = [{"name": "pi-1", "slots": 1, "capacity": None, "services": ["simulated"]}]
    lines = [header(Settings(), [fleet.service()], devices, 1000.0)]
    for n in range(seconds + 1):
        reports = {"simulated@pi-1.1": (1.0, manages, 0.99)}
        seen = Moment(1000.0 + n, {0: rate * n}, {0: manages * n}, {"simulated@pi-1.1": (0,)}, reports)
        lines.append(line({"simulated": seen}))
    decision = {"kind": "decision", "service": "simulated", "at": 1007.0, "body": {"direction": "up"}}
    file.write_text("\n".join([*lines, ledger_line([decision])]) + "\n")


def test_a_recording_is_replayed_as_it_was(tmp_path: Path) -> None:
    """Lost otherwise: simulating what really happened."""
    file = tmp_path / "run.jsonl"
    recording(file, 30, 150, 100)
    found = read(file)
    scenario = replay(found, None)
    assert scenario.seconds == 30
    assert set(scenario.traffic.rates) == {150.0}
    assert (scenario.rates, scenario.instances, scenario.partitions) == ({"pi-1": 100.0}, ("simulated@pi-1.1",), 1)
    assert scenario.first_decision_s == 7
    trace = simulate(scenario, "static-peak")
    assert lag_area(found.moments["simulated"]) == pytest.approx(50 * 30 * 30 / 2)
    assert trace.lag[-1] == pytest.approx(50 * 30)


def test_a_torn_line_spoils_only_itself_and_the_newest_run_counts(tmp_path: Path) -> None:
    """Lost otherwise: an hour of observations because the recorder was killed in its last line."""
    file = tmp_path / "run.jsonl"
    recording(file, 50, 10, 5)
    old = file.read_text()
    recording(file, 20, 150, 100)
    file.write_text(old + '{"at": 1051, "se' + "\n" + file.read_text())
    assert len(read(file).moments["simulated"]) == 21


@pytest.mark.parametrize("text", ["", "no json\n", '{"record": 99, "services": {}}\n', '{"record": 1}\n'])
def test_what_is_no_recording_ends_with_code_2(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a traceback in place of the mend."""
    file = tmp_path / "run.jsonl"
    file.write_text(text)
    assert main(["simulate", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


def test_the_command_tells_decisions_and_measures(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: reading a simulation with a program."""
    assert main(["simulate", "failing", "--policy", "ds2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["policy"] == "ds2"
    assert said["measures"]["actions"] == len(said["decisions"])


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_pictures_are_drawn(tmp_path: Path, suffix: str) -> None:
    """Lost otherwise: seeing at a glance what was decided when."""
    scenario = fleet.scenario("failing", SHAPES["failing"]())
    trace = simulate(scenario, "keda")
    picture.draw(trace, tmp_path / f"one{suffix}")
    picture.compare([trace, simulate(scenario, "oracle")], tmp_path / f"both{suffix}")
    begin = {".svg": b"<?xml", ".png": b"\x89PNG"}[suffix]
    assert all((tmp_path / f"{name}{suffix}").read_bytes().startswith(begin) for name in ("one", "both"))


def test_a_picture_that_cannot_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    """Lost otherwise: a minute of simulation that ends in an error."""
    with pytest.raises(SimulationInvalid, match=r"one of \.svg, \.png"):
        picture.check(tmp_path / "x.gif")
    with pytest.raises(SimulationInvalid, match="does not exist"):
        picture.check(tmp_path / "none" / "x.svg")


@pytest.mark.parametrize("duration", ["0", "10x", "8d", "-1s", ""])
def test_a_duration_that_is_none_ends_with_code_2(duration: str, tmp_path: Path) -> None:
    """Lost otherwise: a recording of another length than was meant."""
    assert main(["record", "--for", duration, str(tmp_path / "run.jsonl")]) == 2

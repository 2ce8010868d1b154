"""Ansible runs as values: what is asked for, and what is made of what comes back."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import ansible_runner
import pytest

from orchestrator.act.actuator import _Result
from orchestrator.act.known import known
from orchestrator.act.run import HostOutcome, RunOutcome, deploy, done_in, drain
from orchestrator.ansible import run as ansible_run
from orchestrator.ansible.events import of_host_key, reason_of
from orchestrator.ansible.shared import is_shared_connection
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.project import PROJECT

INSTANCE = Instance("analyzer", "pi-3", 2)


def test_a_deployment_is_the_playbook_that_an_operator_runs_by_hand() -> None:
    """Lost otherwise: the promise that both do the same."""
    batch = [INSTANCE, Instance("analyzer", "pi-1", 1), Instance("analyzer", "pi-3", 1)]
    run = deploy(batch, Path("inventory/lab"))
    assert run.as_request() == {
        "playbook": "deploy.yml",
        "inventory": "inventory/lab",
        "limit": "pi-1,pi-3",
        "variables": {"service": "analyzer", "slots": {"pi-1": [1], "pi-3": [1, 2]}},
        "check": False,
        "followed": False,
    }
    assert drain([INSTANCE], Path("inventory/lab")).playbook == "drain.yml"


def test_the_master_names_the_checksums_that_the_playbook_would_name(tmp_path: Path) -> None:
    """Lost otherwise: every device prepared anew by every start, or the time that naming them takes."""
    (tmp_path / "code.py").write_text("pass\n")
    service = Service(
        name="s", source_topic="a", group_id="g", artifact=str(tmp_path), entrypoint="x:y", hosts="h", max_instances=1
    )
    found = known(service)["fogverse_consumer_known"]
    command = [sys.executable, "-m", "orchestrator.wheels", "checksum", "--source", found["of"][0]]
    command += ["--artifact", found["of"][1], "--constraints", found["of"][2]]
    named = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT).stdout
    assert json.loads(named) == {"runtime": found["runtime"], "release": found["release"]}
    assert "fogverse_consumer_known" in deploy([INSTANCE], Path("i"), known(service)).variables
    assert known(service.model_copy(update={"artifact": str(tmp_path / "missing")})) == {}


def test_only_what_is_meant_to_outlive_a_run_is_spared() -> None:
    """Lost otherwise: connections between decisions; or what a run has left behind, for ever."""
    assert is_shared_connection(["ssh: /tmp/fogverse-ansible-x/ssh/0a1b [mux]"])
    assert not is_shared_connection(["ssh", "-o", "ControlPersist=10m", "pi-1"])
    assert not is_shared_connection([])


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"msg": "no space left"}, "no space left"),
        (
            {"msg": "MODULE FAILURE: see stderr", "stderr": "noise\nPermissionError: denied\n"},
            "PermissionError: denied",
        ),
        ({"msg": "", "stdout": "\x1b[31mbad\x1b[0m"}, "bad"),
        ({"censored": "x", "msg": "hunter2"}, "hidden"),
        (
            {"msg": "One or more items failed", "results": [{"failed": False}, {"failed": True, "msg": "read-only"}]},
            "read-only",
        ),
        ({"msg": "x", "results": [{"failed": True, "censored": "hidden", "msg": "hunter2"}]}, "hidden"),
        ({"msg": "x", "results": 5}, "x"),
        ({}, "no reason"),
        ("plain words", "plain words"),
    ],
)
def test_the_first_useful_line_is_the_reason(result: object, reason: str) -> None:
    """Lost otherwise: the operator reads Ansible's wall of JSON."""
    assert reason in reason_of(result)
    assert "hunter2" not in reason_of(result)


def _taken(*events: dict[str, object]) -> _Result:
    result = _Result()
    for event in events:
        result.take(event)
    return result


def test_a_failure_is_never_overwritten_by_a_later_success() -> None:
    """Lost otherwise: a rescue or a cleanup task would hide that the host failed."""
    result = _taken(
        {"event": "ok", "host": "pi-1", "task": "a"},
        {"event": "failed", "host": "pi-1", "task": "b", "reason": "boom"},
        {"event": "ok", "host": "pi-1", "task": "c"},
        {"event": "end", "rc": 2},
    )
    assert result.hosts["pi-1"] == HostOutcome("failed", "b", "boom")
    assert result.error([]) is None


def test_a_run_without_a_word_is_a_failed_run() -> None:
    """Lost otherwise: a crashed Ansible taken for success."""
    end = {"event": "end", "rc": 4}
    assert _taken().error(["Traceback\n", "ImportError: no ansible\n"]) == "ImportError: no ansible"
    assert _taken().error([]) == "Ansible was killed and gave no reason"
    assert _taken(end).error([]) == "Ansible ended with exit code 4 and gave no reason"
    broken = _taken({"event": "error", "text": "bad YAML"}, end)
    assert (broken.error(["x"]), broken.begun) == ("bad YAML", False)
    assert _taken({"event": "play", "name": "Start instances"}, end).begun


@pytest.mark.parametrize("code", [1, 250, 254, 255])
def test_a_run_that_did_not_get_to_its_end_has_not_worked_on_the_hosts_that_were_well_so_far(code: int) -> None:
    """Lost otherwise: an Ansible that ran out of memory taken for started instances, if any host failed before."""
    result = _taken(
        {"event": "ok", "host": "pi-1", "task": "Check the request"},
        {"event": "unreachable", "host": "pi-2", "task": "Check the request", "reason": "no route"},
        {"event": "end", "rc": code},
    )
    outcome = RunOutcome(result.hosts, 5.0, result.error([]))
    assert outcome.of("pi-1").reason == f"Ansible ended with exit code {code} and gave no reason"
    assert outcome.of("pi-2").reason == "no route"


def test_a_run_whose_process_was_killed_has_not_ended_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: what the kernel killed for want of memory taken for success, on every host that was begun."""
    killed = SimpleNamespace(status="failed", rc=None)
    monkeypatch.setattr(ansible_runner, "run", lambda **_given: killed)
    monkeypatch.setattr(ansible_run, "Cancelled", lambda _channel: Mock())
    monkeypatch.setattr(ansible_run, "grow", lambda _listener, _channel: 0)
    monkeypatch.setattr(ansible_run, "_end", lambda _stem: None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(json.dumps(deploy([INSTANCE], Path("i")).as_request()).encode() + b"\n")
        assert ansible_run.run(theirs, tmp_path, tmp_path / "ssh") != 0
    assert not list(tmp_path.iterdir())


def test_a_broken_off_run_counts_as_failed_on_every_host_it_did_not_fail_on() -> None:
    """Lost otherwise: a run that was killed at its deadline taken for a started instance."""
    outcome = RunOutcome({"pi-1": HostOutcome("ok"), "pi-2": HostOutcome("unreachable", "t", "r")}, 5.0, "deadline")
    assert outcome.of("pi-1") == HostOutcome("failed", None, "deadline")
    assert outcome.of("pi-2").verdict == "unreachable"
    assert outcome.of("pi-3").reason == "deadline"


def test_a_host_that_hangs_does_not_fail_those_that_were_done() -> None:
    """Lost otherwise: a batch of which every instance is stopped again because of one bad card."""
    result = _taken(
        {"event": "ok", "host": "pi-1", "task": "Start the instances", "done": ["analyzer@pi-1.1"]},
        {"event": "ok", "host": "pi-2", "task": "Check the request"},
    )
    outcome = RunOutcome(result.hosts, 5.0, "deadline")
    assert outcome.of("pi-1").verdict == "ok"
    assert outcome.of("pi-2").reason == "deadline"


def test_a_host_that_ansible_never_got_to_has_failed() -> None:
    """Lost otherwise: a typing mistake in the limit taken for success."""
    assert "is it in the inventory" in RunOutcome({}, 5.0).of("pi-9").reason


@pytest.mark.parametrize(
    ("task", "output", "done"),
    [
        ("Start the instances", 'instance {"instance": "a@pi-1.1", "failed": false}\n', ["a@pi-1.1"]),
        ("Start the instances", "cold release 1 is not the current one\n", []),
        ("Start the instances", 'instance {"instance": "a@pi-1.1", "failed": true}\njournal boom\n', []),
        ("Ask the device", 'instance {"instance": "a@pi-1.1", "failed": false}\n', []),
    ],
)
def test_only_what_a_device_says_of_its_instances_counts_as_started(task: str, output: str, done: list[str]) -> None:
    """Lost otherwise: a device that still has to be prepared, or whose unit has failed, taken for one that runs."""
    assert done_in(task, {"stdout": output}) == done


@pytest.mark.parametrize("line", ["instance {", 'instance {"instance": "a@pi-1.1"}', "instance 5", "instance []"])
def test_what_one_device_says_ends_no_run(line: str) -> None:
    """Lost otherwise: the whole batch, by one device whose disk or shell has gone mad."""
    assert done_in("Start the instances", {"stdout": f"{line}\n"}) == []
    whole = 'instance {"instance": "a@pi-1.2", "failed": false}'
    assert done_in("Start the instances", {"stdout": f"{line}\n{whole}\n"}) == ["a@pi-1.2"]


def test_a_host_key_that_ssh_refuses_is_told_with_the_mend() -> None:
    """Lost: a device set up anew, behind a frame of at-signs."""
    fingerprint = "SHA256:" + "a" * 43
    changed = (
        f"@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@ is\n{fingerprint}.\nHost key verification failed."
    )
    assert f"CHANGED (now {fingerprint})" in of_host_key("pi-1", changed)
    assert "orchestrator device enroll pi-1" in of_host_key("pi-1", changed)
    assert of_host_key("pi-1", "Host key verification failed.").startswith("host key unknown")
    assert of_host_key("pi-1", "Connection refused") == ""

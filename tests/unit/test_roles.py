"""The roles and the runtime agree: variables, exit codes, names of instances, readiness."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pytest
import yaml

from fogverse.exit_codes import ExitCode
from fogverse.lifecycle import SHORTEST_S, Lifecycle
from fogverse.meter import Reading
from fogverse.notify import Notifier
from fogverse.security import SECRETS
from fogverse.setting_table import TABLE
from fogverse.stopping import Stopping
from orchestrator.cli import device_logs
from orchestrator.core.instance import Instance
from orchestrator.project import PROJECT
from orchestrator.ssh import diagnosis, facts

CONSUMER = PROJECT / "roles" / "fogverse_consumer"
SCRIPTS = sorted((PROJECT / "roles").glob("*/templates/*.sh.j2"))
UNIT = (CONSUMER / "templates" / "release.conf.j2").read_text()
VARIABLES = (CONSUMER / "vars" / "main.yml").read_text()
#: What an instance says whose release is not wanted any more.
HELD = "waits for release b2, has a1: a master or site.yml brings it"


@dataclass(frozen=True)
class Status:
    """What a member says of itself, by the runtime's own words."""

    owned: int = 1
    in_flight: int = 0
    done: int = 0
    failed: int = 0
    fetching: bool = False

    def __str__(self) -> str:
        told: list[str] = []

        class Told(Notifier):
            def send(self, *assignments: str) -> None:
                told.extend(assignments)

        lifecycle = Lifecycle(Told("@nowhere"), None, Stopping(20), lambda: None)
        lifecycle.owns(self.owned)
        lifecycle.fetching(self.fetching)
        lifecycle.beat(Reading(1.0, self.done, 0, self.failed, 0.0, self.in_flight, None))
        lifecycle.close()
        return told[-1].removeprefix("STATUS=")


def rendered(script: Path) -> str:
    """A script as a device gets it: names instead of values are enough for a shell to read it."""
    environment = jinja2.Environment(  # noqa: S701 - no HTML
        loader=jinja2.FileSystemLoader(script.parent), undefined=jinja2.ChainableUndefined
    )
    environment.filters |= {"quote": lambda value: f"'{value}'", "ternary": lambda value, yes, no: yes if value else no}
    return environment.get_template(script.name).render(inventory_hostname="pi-1")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_can_be_read_by_the_devices_shell(script: Path) -> None:
    """A syntax error would only show on the path that has it, perhaps the rollback."""
    subprocess.run(["sh", "-n"], input=rendered(script), text=True, check=True, capture_output=True)


def test_the_runtime_knows_every_variable_that_it_is_given() -> None:
    """A misspelt variable would be ignored, and a service would run with a default."""
    known = {setting.variable for setting in TABLE} | {"FOGVERSE_CONFIG"}
    given = set(re.findall(r"'(FOGVERSE_[A-Z_]*[A-Z]|OBSERVER_TOPIC)'", VARIABLES))
    given |= set(re.findall(r"(FOGVERSE_[A-Z_]*[A-Z])=", UNIT))
    assert given <= known
    required = {setting.variable for setting in TABLE if setting.required}
    assert required <= given


def test_every_exit_code_is_explained() -> None:
    explained = yaml.safe_load(VARIABLES)["fogverse_consumer_exit_codes"]
    assert {str(int(code)) for code in ExitCode} <= set(explained)


def test_what_cannot_mend_itself_is_not_restarted_for_ever() -> None:
    prevented = re.search(r"^RestartPreventExitStatus=(.*)$", UNIT, re.MULTILINE)
    assert prevented is not None
    assert set(prevented[1].split()) == {str(int(ExitCode.BAD_SETTINGS)), str(int(ExitCode.NO_CALLABLE))}


def test_units_and_instances_have_the_names_that_the_master_knows() -> None:
    """The master's probes look for these names; others would be invisible to it."""
    instance = Instance("analyzer", "pi-3", 2)
    unit = yaml.safe_load(VARIABLES)["fogverse_consumer_unit"].replace("{{ fogverse_consumer_service }}", "analyzer")
    assert f"{unit}2.service" == instance.unit
    named = re.search(r"^Environment=FOGVERSE_INSTANCE=(.*)$", UNIT, re.MULTILINE)
    assert named is not None
    values = {"{{ fogverse_consumer_service }}": "analyzer", "{{ inventory_hostname }}": "pi-3", "%i": "2"}
    name = named[1]
    for placeholder, value in values.items():
        name = name.replace(placeholder, value)
    assert name == str(instance)


def test_the_unit_waits_for_what_the_runtime_tells() -> None:
    """Else `systemctl start` would return too early, or wait for ever; and a wedged process would never be noticed."""
    said = dict(line.split("=", 1) for line in UNIT.splitlines() if "=" in line and not line.startswith("#"))
    assert (said["Type"], said["NotifyAccess"], said["Restart"]) == ("notify", "main", "always")
    defaults = yaml.safe_load((CONSUMER / "defaults" / "main.yml").read_text())
    assert said["WatchdogSec"] == "{{ fogverse_consumer_watchdog }}"
    assert defaults["fogverse_consumer_watchdog"] >= SHORTEST_S


@pytest.mark.parametrize(
    ("shown", "starting"),
    [
        ("Job=12\nSubState=stop-sigterm\nStatusText=draining (SIGTERM), at most 20 s", True),
        ("Job=12\nSubState=start\nStatusText=", True),
        ("Job=12\nSubState=start\nStatusText={joining}", False),
        ("Job=\nSubState=running\nStatusText=member, owns no partition", False),
        ("Job=\nSubState=auto-restart\nStatusText=", False),
        ("Job=0\nSubState=failed\nStatusText={joining}", False),
        ("Job=12\nSubState=start\nStatusText={held}", False),
        ("Job=12\nSubState=start\nStatusText={asks}", False),
    ],
)
def test_a_start_is_waited_for_until_the_process_asks_to_join(shown: str, starting: bool) -> None:
    """With the broker away a release that is fine would be taken for broken and rolled back, or its start never end."""
    told: list[str] = []

    class Told(Notifier):
        def send(self, *assignments: str) -> None:
            told.extend(assignments)

    lifecycle = Lifecycle(Told("@nowhere"), None, Stopping(20), lambda: None)
    lifecycle.joining("analyzer", 120)
    lifecycle.close()
    joining = next(line.removeprefix("STATUS=") for line in told if line.startswith("STATUS="))
    function = re.search(r"(?ms)^starting\(\) \{.*?^\}$", rendered(CONSUMER / "templates" / "run.sh.j2"))
    assert function is not None
    # Held back, it may wait for ever, and so would a rollback to it.
    shown = shown.format(joining=joining, held=HELD, asks="asks which release is wanted: no answer")
    script = f"systemctl() {{ printf '%s\\n' '{shown}'; }}\n{function[0]}\nstarting unit"
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert ((done.returncode == 0), done.stderr) == (starting, "")


@pytest.mark.parametrize(
    ("sub", "restarts", "status", "verdict"),
    [
        ("running", 0, Status(done=1), "works"),
        ("running", 0, Status(done=1, failed=1), "waits"),
        ("running", 0, Status(in_flight=1), "waits"),
        ("running", 0, Status(failed=1), "waits"),
        ("running", 0, Status(), "works"),
        ("running", 0, Status(fetching=True), "waits"),
        ("running", 0, Status(owned=0, fetching=True), "works"),
        ("running", 1, Status(done=1), "ended"),
        ("auto-restart", 0, Status(done=1), "ended"),
        ("failed", 0, Status(), "ended"),
        ("start", 0, HELD, "held"),
        ("start", 0, "joining group odd", "waits"),
    ],
)
def test_an_upgrade_is_proved_by_messages_that_are_finished_or_by_there_being_none(
    sub: str, restarts: int, status: Status | str, verdict: str
) -> None:
    """Lost: a release that hangs or fails goes round the fleet; or a quiet service that can never be upgraded."""
    shown = f"MainPID=7\nSubState={sub}\nNRestarts={restarts}\nStatusText={status}\nInvocationID=1"
    function = re.search(r"(?ms)^judge\(\) \{.*?^\}$", rendered(CONSUMER / "templates" / "upgrade.sh.j2"))
    assert function is not None
    # Two lines of the status are 16 looks.
    script = (
        f"idle=0; systemctl() {{ printf '%s\\n' '{shown}'; }}\n{function[0]}\n"
        "for look in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do judge unit; first=${first:-$verdict}; done\n"
        "echo $first $verdict"
    )
    done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
    first, last = done.stdout.split()
    assert (last, done.stderr) == (verdict, "")
    assert first == ("waits" if isinstance(status, Status) and verdict == "works" and not status.done else verdict)


def test_no_secret_is_in_the_environment_or_in_an_argument() -> None:
    """Lost: passwords, to everybody who can list processes, read a unit or a log."""
    environment = (CONSUMER / "templates" / "consumer.env.j2").read_text()
    variables = yaml.safe_load(VARIABLES)
    words = variables["fogverse_consumer_credential_words"]
    assert all(f"'{secret}'" in words for secret in SECRETS), "each is a credential"
    assert "fogverse_consumer_credentials)" in variables["fogverse_consumer_kafka"], "and none is in the environment"
    [task] = [
        path for path in (PROJECT / "roles").rglob("*") if path.is_file() and "credential_contents" in path.read_text()
        and path.parent.name != "vars"
    ]  # fmt: skip
    bringing = next(one for one in yaml.safe_load(task.read_text()) if "credential_contents" in str(one))
    assert bringing["no_log"] is True
    assert "credential_contents" in bringing["ansible.builtin.command"]["stdin"]
    assert "credential_contents" not in str(bringing["ansible.builtin.command"]["argv"])
    assert "password" not in environment


def test_the_file_of_sudoers_names_the_commands_that_are_used() -> None:
    """Lost: a device that cannot be reached after its user was given these rights; or rights that nobody needs."""
    text = (PROJECT / "roles" / "fogverse_device" / "files" / "sudoers").read_text()
    commands = dict(re.findall(r"^Cmnd_Alias (\w+) = (.*)$", text, re.MULTILINE))
    assert f"(root) NOPASSWD: {', '.join(commands)}\n" in text
    used = [
        "/bin/sh -c echo BECOME-SUCCESS-probe",
        *(
            "/usr/bin/" + line.split("$ask ")[1]
            for script in (device_logs._SCRIPT, diagnosis._SCRIPT)
            for line in script.splitlines()
            if line.startswith("$ask ")
        ),
    ]
    assert len(used) == 3
    for command in used:
        assert any(fnmatch.fnmatchcase(command, allowed) for allowed in commands.values()), command
    assert "sudo -n /bin/sh -c 'echo BECOME-SUCCESS-probe'" in facts.SCRIPT
    if visudo := shutil.which("visudo", path="/usr/sbin:/sbin:/usr/bin"):
        subprocess.run([visudo, "-cf", "-"], input=text, text=True, check=True, capture_output=True)


@pytest.mark.parametrize("role", ["fogverse_device", "fogverse_consumer", "kafka_broker"])
def test_nothing_is_kept_in_an_installed_collection(role: str) -> None:
    """Lost: everybody whose collections belong to root: 'permission denied' for what a role packs on the controller."""
    defaults = yaml.safe_load((PROJECT / "roles" / role / "defaults" / "main.yml").read_text())
    environment = jinja2.Environment()  # noqa: S701 - no HTML
    environment.filters |= {"dirname": lambda path: str(Path(path).parent), "expanduser": lambda path: path}
    cache = environment.from_string(defaults[f"{role}_cache"])
    place = f"/usr/share/ansible/collections/ansible_collections/fogverse/orchestrator/roles/{role}"
    assert cache.render(role_path=place, ansible_collection_name="fogverse.orchestrator").startswith("~/.cache/")
    assert cache.render(role_path="/home/me/project/roles/x").startswith("/home/me/project/.cache/")

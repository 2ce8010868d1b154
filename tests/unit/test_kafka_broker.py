"""The role kafka_broker without a host: what it packs, what it writes, how it reads what the cluster says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from orchestrator.project import PROJECT

ROLE = PROJECT / "roles" / "kafka_broker"
JARS = (
    "kafka_2.13-4.3.1.jar", "kafka-clients-4.3.1.jar", "kafka-server-4.3.1.jar", "kafka-tools-4.3.1.jar",
    "log4j-core-2.26.1.jar", "log4j-slf4j2-impl-2.26.1.jar",
)  # fmt: skip
#: What ``kafka-topics.sh --describe --under-replicated-partitions`` prints, fields parted by tabs.
LATE = "\tTopic: reports\tPartition: 4\tLeader: 1\tReplicas: 1,2,3\tIsr: 1,3\tElr: \tLastKnownElr: "


def look_at(dist: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROLE / "files" / "distribution.py"), str(dist), str(cache)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def folder_of(place: Path, names: tuple[str, ...] = JARS) -> Path:
    place.mkdir()
    for name in names:
        (place / name).write_text(name)
    return place


def members(archive: str) -> set[str]:
    with tarfile.open(archive) as tar:
        return {name.partition("/")[2] for name in tar.getnames()}


def test_a_folder_of_jars_and_the_official_tarball_arrive_in_the_same_form(tmp_path: Path) -> None:
    """Lost otherwise: the only Kafka that somebody has at hand."""
    jars = folder_of(tmp_path / "jars")
    with tarfile.open(tmp_path / "kafka_2.13-4.3.1.tgz", "w:gz") as tar:
        tar.add(jars, "kafka_2.13-4.3.1/libs")
    for dist in (jars, tmp_path / "kafka_2.13-4.3.1.tgz"):
        done = look_at(dist, tmp_path / "cache")
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(done.stdout)
        assert found["version"] == "4.3.1"
        assert re.fullmatch(r"4\.3\.1-[0-9a-f]{12}", found["release"])
        assert {f"libs/{name}" for name in JARS} <= members(found["archive"])


def test_a_changed_jar_is_another_release_and_the_same_ones_are_the_same(tmp_path: Path) -> None:
    """Otherwise a mended jar would never reach the brokers, or each run would restart them."""
    first, second = folder_of(tmp_path / "first"), folder_of(tmp_path / "second")
    releases = [json.loads(look_at(jars, tmp_path / "cache").stdout)["release"] for jars in (first, second)]
    assert releases[0] == releases[1]
    (second / JARS[0]).write_text("mended")
    assert json.loads(look_at(second, tmp_path / "cache").stdout)["release"] != releases[0]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (JARS[1:], "it has 0 jars named kafka_2.13-VERSION.jar"),
        (("kafka_2.13-3.9.1.jar", *JARS[1:]), "it is Kafka 3.9.1: 4.0 or newer is needed"),
        (JARS[:3], "it lacks the jars of kafka-tools, log4j-core, log4j-slf4j"),
    ],
)
def test_what_is_no_distribution_is_refused_in_words(names: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """Otherwise hosts are changed, and the broker ends with a stack trace."""
    done = look_at(folder_of(tmp_path / "jars", names), tmp_path / "cache")
    assert done.returncode == 1
    assert words in done.stdout
    nowhere = look_at(tmp_path / "nowhere.tgz", tmp_path / "cache")
    assert (nowhere.returncode, "No such file" in nowhere.stdout) == (1, True)


def settings_of(hosts: dict[str, dict[str, object]], tmp_path: Path, **values: object) -> dict[str, str]:
    """``server.properties`` of the last host as the role writes it; nothing is contacted."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    play = {
        "hosts": list(hosts)[-1],
        "connection": "local",
        "gather_facts": False,
        "vars": defaults | values,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "tasks": [
            {
                "ansible.builtin.debug": {
                    "msg": f"{{{{ lookup('ansible.builtin.template', '{ROLE}/templates/server.properties.j2') }}}}"
                }
            }
        ],
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"kafka": {"hosts": hosts}}, sort_keys=False))
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "play.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_LOCAL_TEMP": str(tmp_path),
             "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    text = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])["msg"]
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_one_host_is_a_cluster_that_keeps_one_copy(tmp_path: Path) -> None:
    """With the copies of three hosts no topic could be created."""
    found = settings_of({"box": {"ansible_host": "192.0.2.9"}}, tmp_path)
    assert found["controller.quorum.voters"] == "1@192.0.2.9:9093"
    assert found["process.roles"] == "broker,controller"
    assert found["advertised.listeners"] == "CLIENTS://192.0.2.9:9092,CONTROLLER://192.0.2.9:9093"
    copies = {name: value for name, value in found.items() if name.endswith(("replication.factor", "min.isr"))}
    assert set(copies.values()) == {"1"}
    assert found["min.insync.replicas"] == "1"


def test_three_hosts_keep_three_copies_and_the_inventory_names_them(tmp_path: Path) -> None:
    """Otherwise a host that dies takes topics along, or two hosts take each other's place in the cluster."""
    hosts: dict[str, dict[str, object]] = {
        "kafka-1": {"kafka_broker_node_id": 11},
        "kafka-2": {"ansible_host": "192.0.2.2"},
        "kafka-3": {"ansible_host": "192.0.2.3", "kafka_broker_host": "three.example.org"},
    }
    own = {
        "kafka_broker_properties": {"auto.create.topics.enable": True, "log.retention.hours": 24, "node.id": 9},
        "kafka_broker_secret_properties": {"ssl.key.password": "back\\slash"},
    }
    found = settings_of(hosts, tmp_path, **own)
    assert found["controller.quorum.voters"] == "11@kafka-1:9093,2@192.0.2.2:9093,3@three.example.org:9093"
    assert (found["default.replication.factor"], found["min.insync.replicas"]) == ("3", "2")
    assert (found["offsets.topic.replication.factor"], found["transaction.state.log.min.isr"]) == ("3", "2")
    assert (found["auto.create.topics.enable"], found["log.retention.hours"]) == ("true", "24")
    assert found["node.id"] == "3", "the inventory decides"
    assert found["ssl.key.password"] == "back\\\\slash", "Java reads a backslash as the beginning of something"


def asked(function: str, endpoints: str, late: str) -> tuple[bool, str]:
    """Whether a function of ``ask.sh`` succeeds on node 3 of three, and the reason that it gives."""
    text = (ROLE / "templates" / "ask.sh.j2").read_text()
    functions = re.sub(r"(?ms)^tool\(\) \{.*?^\}$", "", re.sub(r"\{\{.*?\}\}", "0", text))
    script = f"""
tool() {{ case $1 in ClusterTool) printf '{endpoints}' ;; *) printf '{late}' ;; esac; }}
{functions}
node=3 others='1 2'
{function} && echo yes || printf '%s' "$why"
"""
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout == "yes\n", done.stdout


ALL = "ID HOST PORT\\n1 a 9092\\n2 b 9092\\n3 c 9092\\n"


@pytest.mark.parametrize(
    ("endpoints", "late", "others", "own"),
    [
        (ALL, "", "yes", "yes"),
        (ALL, LATE, "node 2 lags behind on reports-4", "yes"),
        (ALL, LATE.replace("Isr: 1,3", "Isr: 1,2"), "yes", "it lags behind on 1 partitions, e.g. reports-4"),
        (ALL.replace("2 b 9092\\n", ""), "", "node 2 is not there", "yes"),
        (ALL.replace("3 c 9092\\n", ""), "", "yes", "the cluster does not count it in yet"),
    ],
)
def test_a_roll_waits_for_what_is_missing_and_only_for_that(endpoints: str, late: str, others: str, own: str) -> None:
    """A second broker that goes down stops topics; one that is broken itself must be restartable."""
    assert asked("others_whole", endpoints, late)[1].strip() == others
    assert asked("caught_up", endpoints, late)[1].strip() == own

"""``fogverse_services``: from what the user wrote to services, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from orchestrator.core.service import Service
from orchestrator.inventory.devices import LABEL_ALLOWED
from orchestrator.settings import TOPIC_ALLOWED
from orchestrator.validation import ABSENT, Finding, KeyPath, booleans, did_you_mean, findings_of

#: The variable in the inventory.
VARIABLE = "fogverse_services"

_ALLOWED = {
    "name": "lower-case letters, digits and '-', beginning with a letter, at most 41 of them",
    "source_topic": TOPIC_ALLOWED,
    "target_topic": f"{TOPIC_ALLOWED}; leave the key out for a service that produces nothing",
    "group_id": "the Kafka consumer group of the service, not empty",
    "artifact": "the folder or wheel with the code, e.g. examples/incident_detection",
    "entrypoint": "module:callable, e.g. incident_detection.analyzer:process",
    "hosts": "an Ansible host pattern that matches at least one host, e.g. fog or fog:!pi-2",
    "policy": "a mapping with a name, e.g. {name: capacity} or {name: ratio, threshold: 0.8}",
    "env": "a mapping of names to text",
    "requires": "a mapping, e.g. {memory_mb: 256, labels: [camera], arch: aarch64}",
    "requires.labels": f"a word or a list of words: {LABEL_ALLOWED}",
    "requires.arch": "an architecture or a list of them, as 'uname -m' says it: aarch64, x86_64",
    "heal": "a mapping, e.g. {restart_limit: 3, replace_after_s: 60, return_home: true}",
}
_EXAMPLE = "a mapping of service names to their settings, in group_vars/all; docs/inventory.md shows one"


def check_services(
    written: object, matched: Mapping[str, object], project: Path, names: Iterable[str]
) -> tuple[tuple[Service, ...], tuple[Finding, ...]]:
    """Validate the services one by one and among each other.

    Args:
        written: the variable, templated; ``ABSENT`` when there is none.
        matched: by service, the hosts its pattern matches, or Ansible's words about the pattern.
        project: folder that artifact paths are relative to.
        names: all groups and hosts that there are, to guess what a pattern meant.

    Returns:
        The services that are valid in themselves, and everything found wrong.
    """
    if not isinstance(written, Mapping) or not written:
        return (), (Finding((VARIABLE,), written, f"required: {_EXAMPLE}"),)
    services, findings = [], []
    for name, value in written.items():
        path = (VARIABLE, str(name))
        if not isinstance(value, Mapping):
            findings.append(Finding(path, value, "a mapping with source_topic, group_id, artifact, …"))
            continue
        service, wrong = _service(str(name), value, path)
        findings += wrong
        findings += _pattern(path, value, matched.get(str(name), ABSENT), list(names))
        findings += _artifact(path, value, project)
        if service:
            services.append(service)
    return tuple(services), (*findings, *_shared_groups(written))


def _service(name: str, value: Mapping[str, object], path: KeyPath) -> tuple[Service | None, tuple[Finding, ...]]:
    wrong = booleans(value, path, Service)
    data = {key: item for key, item in value.items() if (*path, key) not in {finding.path for finding in wrong}}
    if "name" in data:
        del data["name"]
        wrong = (*wrong, Finding((*path, "name"), value["name"], "unknown key; the name is the key above it"))
    try:
        return Service.model_validate({**data, "name": name}), wrong
    except ValidationError as error:
        found = findings_of(error, {**data, "name": name}, path, Service, _ALLOWED, unwritten="name")
    # The name is no key of its own: point at the service.
    found = tuple(Finding(path, name, f.allowed) if f.path == (*path, "name") else f for f in found)
    seen = {finding.path for finding in (*wrong, *found)}
    return None, (*wrong, *found, *(finding for finding in _relations(value, path) if finding.path not in seen))


def _relations(value: Mapping[str, object], path: KeyPath) -> Iterable[Finding]:
    """What the model says of keys together; it does so only when each by itself is right."""
    least, most = value.get("min_instances", 1), value.get("max_instances", 1)
    if isinstance(least, int) and isinstance(most, int) and most < least:
        yield Finding((*path, "max_instances"), most, f"max_instances ({most}) is below min_instances ({least})")
    source, target = value.get("source_topic"), value.get("target_topic")
    if isinstance(source, str) and source == target:
        words = "source_topic and target_topic are the same: the service would feed itself"
        yield Finding((*path, "source_topic"), source, words)


def _pattern(path: KeyPath, value: Mapping[str, object], matched: object, names: list[str]) -> Iterable[Finding]:
    if isinstance(matched, str):
        yield Finding((*path, "hosts"), value["hosts"], f"{_ALLOWED['hosts']}; {matched}")
    elif matched == []:
        pattern = str(value["hosts"])
        hint = f"; {did_you_mean(pattern, names)}" if names else ""
        yield Finding((*path, "hosts"), pattern, f"matches no host of the inventory{hint}")


def _artifact(path: KeyPath, value: Mapping[str, object], project: Path) -> Iterable[Finding]:
    written = value.get("artifact")
    if not isinstance(written, str) or not written:
        return
    artifact = project / Path(written).expanduser()
    if not artifact.exists():
        yield Finding((*path, "artifact"), written, f"no such folder or wheel: {artifact}")
    elif artifact.is_file() and artifact.suffix != ".whl":
        yield Finding((*path, "artifact"), written, "a folder or a wheel (.whl), this is another kind of file")


def _shared_groups(written: Mapping[str, object]) -> Iterable[Finding]:
    """Two services in one consumer group would be given each other's partitions."""
    owners: dict[str, str] = {}
    for name, value in written.items():
        group = value.get("group_id") if isinstance(value, Mapping) else None
        if not isinstance(group, str) or not group:
            continue
        owner = owners.setdefault(group, str(name))
        if owner != str(name):
            yield Finding(
                (VARIABLE, str(name), "group_id"),
                group,
                f"a consumer group of its own: {group!r} is the group of service {owner!r} already, and Kafka "
                "would share the partitions out between both",
            )

"""Read the inventory, answer what the master asks; see the package."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.cli import CLI
from ansible.errors import AnsibleError
from ansible.inventory.host import Host
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString
from ansible.plugins.loader import become_loader, connection_loader, init_plugin_loader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from orchestrator.inventory_child.files import broken, unreadable, variable_files
from orchestrator.inventory_child.secrets import remember
from orchestrator.inventory_child.variables import template

#: SSH options as Ansible's ssh plugin names them.
SSH_OPTIONS = ("host", "port", "remote_user", "private_key_file", "password")


def main() -> None:
    """Read the request, answer it; only JSON goes to standard output, whatever plugins print."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    with answer:
        json.dump(examine(**{**request, "path": Path(request["path"])}), answer, default=str)


def examine(
    path: Path, playbooks: str, limit: str | None, installation: Sequence[str], device: Sequence[str], prefix: str
) -> dict[str, Any]:
    """Everything the master wants to know about the inventory at ``path``.

    Args:
        path: file or folder of the inventory.
        playbooks: folder of the playbooks, whose own ``group_vars`` count as in a run of them.
        limit: a pattern of hosts, as for ``-l``; None when nobody wants to know what it means.
        installation: variables of the whole installation that are wanted.
        device: variables of each device that are wanted.
        prefix: of the variables of which the names are wanted, whoever reads them.
    """
    init_plugin_loader()
    connection_loader.get("ssh", class_only=True)  # the options of plugins are defined only once they are loaded
    become_loader.get("sudo", class_only=True)
    loader = DataLoader()
    loader.set_basedir(playbooks)
    try:
        loader.set_vault_secrets(
            CLI.setup_vault_secrets(loader, vault_ids=constants.DEFAULT_VAULT_IDENTITY_LIST, auto_prompt=False)
        )
        files = list(variable_files(path, Path(playbooks)))
        wrong = [problem for file in files if (problem := unreadable(loader, file))]
        if wrong:
            return {"broken": wrong}
        inventory = InventoryManager(loader=loader, sources=[str(path)])
        variables = VariableManager(loader=loader, inventory=inventory)
        HostVars(inventory, variables, loader)  # makes ``hostvars`` known to templates
        return {
            **_answer(path, loader, inventory, variables, installation, device, prefix),
            "files": [str(file) for file in files],
            "limit": None if limit is None else [host.name for host in inventory.list_hosts(limit)],
        }
    except (AnsibleError, OSError) as error:
        return {"broken": [broken(path, error)]}


def _answer(
    path: Path,
    loader: DataLoader,
    inventory: InventoryManager,
    variables: VariableManager,
    installation: Sequence[str],
    device: Sequence[str],
    prefix: str,
) -> dict[str, Any]:
    # Variables of the whole installation are those every host shares, so they are read as a host sees them that
    # is in no group but ``all``.
    nobody = Host("fogverse-master")
    nobody.set_variable("inventory_dir", str(path if path.is_dir() else path.parent))
    shared = variables.get_vars(host=nobody)
    for value in shared.values():
        if isinstance(value, EncryptedString):
            with suppress(AnsibleError):  # reported where it is used
                remember(str(value))
    master = template(loader, shared, installation, prefix)
    services = _matches(inventory, master["values"].get("fogverse_services"))
    names = {name for hosts in services.values() if isinstance(hosts, list) for name in hosts}
    hosts = [host for host in inventory.get_hosts("all") if host.name in names]
    hosts += [inventory.get_host(name) for name in sorted(names - {host.name for host in hosts})]  # localhost
    return {
        "master": master,
        "services": services,
        "elsewhere": {
            name: host
            for name in installation
            if name not in master["values"]
            for host in inventory.hosts
            if name in variables.get_vars(host=inventory.get_host(host))
        },
        "devices": {host.name: _device(loader, variables.get_vars(host=host), device, prefix) for host in hosts},
        "hosts": list(inventory.hosts),
        "groups": [name for name in inventory.groups if name not in {"all", "ungrouped"}],
    }


def _matches(inventory: InventoryManager, services: object) -> dict[str, Any]:
    """By service, the hosts its pattern matches, in inventory order, or Ansible's words about the pattern."""
    matched: dict[str, Any] = {}
    for name, service in services.items() if isinstance(services, dict) else ():
        pattern = service.get("hosts") if isinstance(service, dict) else None
        if isinstance(pattern, str) and pattern:
            try:
                matched[name] = [host.name for host in inventory.list_hosts(pattern)]
            except AnsibleError as error:
                matched[name] = str(error)
    return matched


def _device(loader: DataLoader, raw: dict[str, Any], asked: Sequence[str], prefix: str) -> dict[str, Any]:
    ssh = constants.config.get_plugin_vars("connection", "ssh")
    sudo = constants.config.get_plugin_vars("become", "sudo")
    device = template(loader, raw, {*asked, "ansible_connection", "inventory_hostname", *ssh, *sudo}, prefix)
    device["ssh"] = {}
    for option in SSH_OPTIONS:
        try:
            device["ssh"][option] = constants.config.get_config_value(
                option, plugin_type="connection", plugin_name="ssh", variables=device["values"]
            )
        except AnsibleError:  # a port that is no number: the master says it of the variable
            device["ssh"][option] = None
    device["sudo_password"] = any(device["values"].get(name) for name in sudo if "pass" in name)
    device["connection"] = device["values"].get("ansible_connection") or constants.DEFAULT_TRANSPORT
    return device


if __name__ == "__main__":
    main()

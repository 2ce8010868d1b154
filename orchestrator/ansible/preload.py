"""What a run needs of Ansible, imported once: the command line, ansible-runner, and the plugins that nearly all use."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import gc
import os
import warnings
from contextlib import suppress
from importlib import import_module

from orchestrator.project import PROJECT

_MODULES = ("ansible.cli.playbook", "ansible.plugins.vars.host_group_vars")
#: By kind, the plugins whose code and documentation (Ansible reads their options from it) are read ahead.
_PLUGINS = {
    "action_loader": ("raw", "debug", "assert", "fail", "include_tasks", "set_fact", "template", "copy", "command"),
    "become_loader": ("sudo",),
    "connection_loader": ("ssh", "local"),
    "inventory_loader": ("host_list", "script", "auto", "yaml", "ini", "toml"),
    "lookup_loader": ("template", "pipe", "env", "inventory_hostnames", "file"),
    "shell_loader": ("sh",),
    "strategy_loader": ("linear", "free"),
}


def preload() -> None:
    """Import it all; to be called before any thread is started.

    Raises:
        ImportError: Ansible or ansible-runner is not installed, or not whole.
    """
    before = dict(os.environ)
    # What ansible-runner sets for each run; Ansible makes constants of it when it is imported.
    os.environ["ANSIBLE_CALLBACK_PLUGINS"] = import_module("ansible_runner").utils.get_callback_dir()
    os.environ["ANSIBLE_STDOUT_CALLBACK"] = "awx_display"
    os.environ["ANSIBLE_RETRY_FILES_ENABLED"] = "False"
    try:
        for name in _MODULES:
            import_module(name)
        loader = import_module("ansible.plugins.loader")
    finally:
        os.environ.clear()
        os.environ.update(before)
    # Each run says it again, which is of no effect and not worth a warning: collections are looked for when used.
    warnings.filterwarnings("ignore", message="AnsibleCollectionFinder has already been configured")
    loader.init_plugin_loader()
    for kind, names in _PLUGINS.items():
        for name in names:
            getattr(loader, kind).get(name, class_only=True)
    for kind in ("filter_loader", "test_loader"):
        list(getattr(loader, kind).all())
    with suppress(ImportError, AttributeError):  # with an Ansible that has moved what it needs, a run is only slower
        templates = import_module("orchestrator.ansible.templates").Templates()
        templates.use()
        templates.prepare(PROJECT / "playbooks", PROJECT / "roles")
    gc.collect()
    gc.freeze()  # what is there stays: no collection of a child touches, and so copies, its pages

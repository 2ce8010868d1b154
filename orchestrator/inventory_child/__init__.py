"""The child process that reads an inventory with Ansible's own code; not imported by the master.

``python -m orchestrator.inventory_child`` takes one JSON object on standard input (``path``, ``playbooks``, ``limit``,
and the names that are wanted, ``installation`` and ``device``) and writes one on standard output:

- ``broken``: files that cannot be read, each ``{file, line, column, words}``; nothing else is there then;
- ``master``: variables of the group ``all``, see ``variables.template``;
- ``services``: by service, the hosts that its pattern matches, or the words of Ansible's refusal;
- ``devices``: by host in some pattern, its own variables and its SSH options as Ansible resolves them;
- ``elsewhere``: by variable that the master needs and does not see, a host that has it;
- ``hosts``, ``groups``: all names that there are; ``files``: the YAML files of variables, in reading order.

Every value is templated. ``places`` says where each stands, from the position that ansible-core tags values
with. That tag has no public name; without it ``places`` is empty and the master looks for keys in the files.
"""

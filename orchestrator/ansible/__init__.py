"""Ansible kept warm: a process that has imported it once, and forks a child for each run.

Starting ``ansible-playbook`` takes 0.8 s before its first task, most of it imports. The server (``server``) imports
ansible-core, the plugins that our playbooks use and ansible-runner once; then a run costs two forks:

    master ── server ── run (ansible-runner: events, cancelling) ── stem (ansible-playbook's own command line)
                              └─ client: the "executable" that ansible-runner starts; it hands its terminal to the stem

Nothing of a run is in the server: inventory, playbooks and roles are read anew by each. ``ansible.cfg`` is read at the
start; whoever uses the server starts another one when that file has changed.
"""

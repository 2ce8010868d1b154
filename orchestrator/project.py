"""Where the project's own files are: playbooks and roles are used from the checkout that the package is part of."""

from __future__ import annotations

from pathlib import Path

#: The folder that holds ``playbooks/``, ``roles/`` and ``ansible.cfg``.
PROJECT = Path(__file__).resolve().parent.parent

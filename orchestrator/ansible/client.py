"""The executable that ansible-runner starts: it hands its terminal to the process that is ``ansible-playbook`` already.

``python -I -S client.py SOCKET ARGUMENT...``: descriptors 0, 1 and 2 go over the socket, then a JSON object with the
arguments, the environment and the working folder; the exit code comes back as one byte. It imports no more than that
takes, since a run waits for it.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main() -> int:
    """Exit code of the run; 1 when it ended without one."""
    with socket.socket(socket.AF_UNIX) as stem:
        stem.connect(sys.argv[1])
        socket.send_fds(stem, [b"\0"], [0, 1, 2])
        said = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
        stem.sendall(json.dumps(said).encode())
        stem.shutdown(socket.SHUT_WR)
        answer = stem.recv(1)
    return answer[0] if answer else 1


if __name__ == "__main__":
    sys.exit(main())

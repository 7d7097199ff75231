"""Real targets for the probes to reach for: a readable file, a TCP and a UDP port, two unix sockets.

Threat model: they hold nothing and accept nothing; they exist so that "refused" means the jail, not an empty
host.
"""

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def probe_targets() -> Iterator[dict[str, Any]]:
    """What `probes.probe` wants to know, valid while the context lasts."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raydistill-probe-")))
        folder.chmod(0o777)  # the probing child has another uid: it is the layers that must refuse, not the mode
        file = folder / "readable"
        file.write_text("a file of the host")
        tcp, udp, path_socket, abstract = (
            stack.enter_context(socket.socket(family, kind))
            for family, kind in (
                (socket.AF_INET, socket.SOCK_STREAM),
                (socket.AF_INET, socket.SOCK_DGRAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
            )
        )
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        path_socket.bind(str(folder / "socket"))
        abstract.bind(f"\0{folder.name}")
        for listener in (tcp, path_socket, abstract):
            listener.listen()
        yield {
            "file": str(file),
            "folder": str(folder),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "socket_file": str(folder / "socket"),
            "abstract": f"\0{folder.name}",
        }

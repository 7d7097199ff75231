"""Hosts to deploy to without a cloud: network namespaces on one bridge, each with an sshd and a disk of its own.

    this process (10.77.0.1) --- bridge --- head (10.77.0.10)
                                       '--- worker (10.77.0.11)

A host has its own processes (so that `ray stop` there leaves others alone), home, /tmp and /dev/shm; the rest of the
file system is this machine's. Needs root on Linux, and sshd, ip and unshare.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.waiting import wait_until

BRIDGE, NETWORK = "raydistill0", "10.77.0"
START = """\
mount --make-rprivate /
mount --bind {disk}/passwd /etc/passwd
mount --bind {disk}/hosts /etc/hosts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
{mounts}
mkdir -p /run/sshd
hostname {name}
exec $(command -v sshd) -D -E {disk}/sshd.log -f {disk}/sshd_config
"""
SSHD = """\
Port 22
HostKey {disk}/host_key
AuthorizedKeysFile {keys}
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
"""


def missing() -> str | None:
    """Why hosts cannot be made here; None if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode:
        return "needs network and mount namespaces"
    return None


def run(*command: str | Path, timeout: float = 30) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
    return done.stdout


class Host:
    """A namespace with an sshd; `disk` holds its home and the sshd's files; `mounts`: {place: what it sees there}."""

    def __init__(self, name: str, number: int, folder: Path, public_key: Path, mounts: Mapping[Path, Path]) -> None:
        self.name, self.address = name, f"{NETWORK}.{10 + number}"
        self._namespace, self._cable = f"raydistill-{name}", f"raydistill{number + 1}"
        self.disk = folder / name
        self.home = self.disk / "home"
        self.home.mkdir(parents=True)
        self._sshd: subprocess.Popen[bytes] | None = None
        self._mounts = mounts
        users = Path("/etc/passwd").read_text().splitlines()
        root = next(user for user in users if user.startswith("root:")).split(":")
        root[5] = str(self.home)
        others = [user for user in users if not user.startswith("root:")]
        (self.disk / "passwd").write_text("\n".join([":".join(root), *others, ""]))
        (self.disk / "hosts").write_text(f"127.0.0.1 localhost\n{self.address} {name}\n")  # engines look their host up
        (self.disk / "sshd_config").write_text(SSHD.format(disk=self.disk, keys=public_key))
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.disk / "host_key")

    def start(self) -> None:
        inside = ("ip", "-n", self._namespace)
        run("ip", "netns", "add", self._namespace)
        run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self._namespace)
        run("ip", "link", "set", self._cable, "master", BRIDGE, "up")
        run(*inside, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run(*inside, "link", "set", device, "up")
        run(*inside, "route", "add", "default", "via", f"{NETWORK}.1")
        own = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        mounts = "\n".join(f"mount --bind {source} {place}" for place, source in self._mounts.items())
        script = START.format(disk=self.disk, name=self.name, mounts=mounts)
        command = ["ip", "netns", "exec", self._namespace, "unshare", *own, "sh", "-ec", script]
        self._sshd = subprocess.Popen(command, start_new_session=True)

    def processes(self) -> list[str]:
        """The command lines that run on this host, without its sshd."""
        listed = run("nsenter", "--target", self._init(), "--pid", "--mount", "ps", "-eo", "args", "--no-headers")
        own = ("ps -eo", "sshd", "sh -ec")
        return [line for line in listed.splitlines() if not line.strip().startswith(own) and "sshd" not in line]

    def _init(self) -> str:
        """The first process of the host: the child of `unshare`."""
        assert self._sshd
        return run("pgrep", "--parent", str(self._sshd.pid)).split()[0]

    def stop(self) -> None:
        if self._sshd:
            os.killpg(self._sshd.pid, signal.SIGKILL)  # the namespace's processes go with `unshare`
            self._sshd.wait()
        subprocess.run(["ip", "netns", "delete", self._namespace], capture_output=True)
        subprocess.run(["ip", "link", "delete", self._cable], capture_output=True)


class Hosts:
    """Hosts under `folder`, which must not be under /tmp: theirs is another one. Use as a context."""

    def __init__(self, folder: Path, names: Sequence[str], mounts: Mapping[Path, Path] | None = None) -> None:
        self._folder = folder
        self.key = folder / "key"
        folder.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        public = self.key.with_suffix(".pub")
        self.hosts = [Host(name, number, folder, public, mounts or {}) for number, name in enumerate(names)]

    def __enter__(self) -> list[Host]:
        self._remove()  # what a killed run left behind
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        try:
            for host in self.hosts:
                host.start()
            for host in self.hosts:
                wait_until(lambda host=host: self.answers(host), 60, f"the sshd of {host.name}")
        except BaseException:
            self.__exit__()
            raise
        return self.hosts

    def __exit__(self, *_: object) -> None:
        self._remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _remove(self) -> None:
        for host in self.hosts:
            host.stop()
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True)

    def answers(self, host: Host) -> bool:
        return subprocess.run(self.ssh(host, "true"), capture_output=True).returncode == 0

    def ssh(self, host: Host, command: str) -> list[str]:
        """The command line that runs `command` on a host, as a login does."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5")
        given = [part for option in options for part in ("-o", option)]
        return ["ssh", "-i", str(self.key), *given, f"root@{host.address}", command]

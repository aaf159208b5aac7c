"""What a render process gives up before it sees its first picture, in layers, and the proof that they hold.

Each layer stands alone: one that the kernel, a container or an outer policy does not grant leaves the others whole.
All of them together are called full, fewer partial; what is missing is said in the log, a metric and ``doctor``.

- ``limits``: memory, descriptors, the size of a file. No core dumps.
- ``privileges``: none can be gained (no-new-privs), no other process can look in (not dumpable), and the process
  ends with the server.
- ``user``: not root and without capabilities; where the server is root, a user of its own that owns nothing.
- ``landlock``: no file can be opened but fonts; no TCP, no signal to the outside.
- ``seccomp``: system calls that a render makes, and no others.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgproxy.render import landlock, seccomp

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS = ("limits", "privileges", "user", "landlock", "seccomp")
ALL = frozenset(LAYERS)

_FONTS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/usr/share/fontconfig",
    "/etc/fonts",
    "/var/cache/fontconfig",
)
_DESCRIPTORS = 32
"""The socket, files and fonts of one render: 8 were the most that was seen over all formats."""
_FILE_BYTES = 1 << 30
"""The largest result; results are files in memory."""
_PROCESSES = 1024
"""And threads, of the worker's user: in the whole kernel, so that other containers' workers may count as well."""
_SLACK_BYTES = 1 << 30
"""Address space beyond what may be resident: stacks, and sources, which are mapped."""
_USERS = range(61184, 65520)
"""systemd's dynamic users: no package and no administrator has given these to anybody."""

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 38, 39
_CAPABILITY_VERSION = 0x20080522
_CAP_KILL = 1 << 5
_PTRACE_ATTACH = 16
_REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOSYS}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What of the sandbox holds."""

    held: frozenset[str]
    """Layers."""

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(layer for layer in LAYERS if layer not in self.held)

    @property
    def level(self) -> str:
        """``full``, ``partial`` or ``none``."""
        return "none" if not self.held else "partial" if self.missing else "full"

    def __str__(self) -> str:
        return f"{self.level}, without {', '.join(self.missing)}" if self.missing else self.level


def confine(wanted: frozenset[str], memory: int, load: Callable[[], None], rehearse: Callable[[], None]) -> Sandbox:
    """Put on the layers that are wanted, and say which hold.

    ``load`` loads what a render needs, behind the fence already; ``rehearse`` renders when all is on. A sandbox that a
    render cannot live in shows here, as whatever these raise, or the end of the process.

    The process must have one thread, because Landlock holds for the calling thread and those that it starts; so this
    comes after the imports and before the first render. ``memory``: bytes that the process may have resident.
    """
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    if "user" in wanted:
        _become_nobody()
    _give_up_privileges()
    if "landlock" in wanted:
        with suppress(OSError):
            _fence()
    load()
    if "limits" in wanted:
        mapped = int(os.read(statm, 128).split()[0]) * resource.getpagesize()
        limit({resource.RLIMIT_AS: mapped + memory + _SLACK_BYTES})
    os.close(statm)
    if "seccomp" in wanted:
        with suppress(OSError):
            seccomp.install()
    rehearse()
    return Sandbox(frozenset(layer for layer in LAYERS if layer in wanted and _PROOFS[layer]()))


def limit(
    limits: dict[int, int] = {  # noqa: B006 - a table
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
    },
) -> None:
    """Lower these limits for good, as far as they are not lower."""
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowered, lowered))


def _give_up_privileges() -> None:
    """After the change of user, which makes the kernel forget the signal of the parent's end."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _become_nobody() -> None:
    """Drop root for a user that no other process has, and then all capabilities.

    Not where the server could no longer kill what it started: in a container without CAP_KILL.
    """
    if os.getuid() == 0 and _capabilities() & _CAP_KILL:
        user = _USERS[os.getpid() % len(_USERS)]
        with suppress(OSError):  # a user namespace may have no such user
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            limit({resource.RLIMIT_NPROC: _PROCESSES})  # it counts by user: only here it is about this process
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION, 0))
    if os.getuid():
        ctypes.CDLL(None).capset(header, ctypes.create_string_buffer(24))


def _capabilities() -> int:
    """Those that are in effect or could be put into it; the first 32, CAP_SYS_ADMIN and CAP_KILL among them."""
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION, 0))
    sets = ctypes.create_string_buffer(24)
    ctypes.CDLL(None).capget(header, sets)
    effective, permitted, _, effective_high, permitted_high, _ = struct.unpack("6I", sets.raw)
    return effective | permitted | (effective_high | permitted_high) << 32


def _fence() -> None:
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise OSError(errno.EBUSY, "other threads would stay outside of the fence")
    landlock.restrict(_FONTS)


def _refused(*attempts: Callable[[], object], by: frozenset[int] | set[int] = _REFUSALS) -> bool:
    """Whether each of these fails, and for lack of permission."""
    return all(_failure(attempt) in by for attempt in attempts)


def _failure(attempt: Callable[[], object]) -> int:
    try:
        attempt()
    except OSError as error:
        return error.errno or 0
    return 0


def _limits_hold() -> bool:
    return (
        resource.getrlimit(resource.RLIMIT_CORE)[1] == 0
        and 0 < resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= _DESCRIPTORS
        and 0 < resource.getrlimit(resource.RLIMIT_FSIZE)[1] <= _FILE_BYTES
        and resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY
    )


def _privileges_hold() -> bool:
    prctl = ctypes.CDLL(None).prctl
    number = ctypes.c_int()
    prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    return (
        number.value == signal.SIGKILL
        and prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
        and prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
    )


def _user_holds() -> bool:
    return 0 not in {os.getuid(), os.geteuid(), os.getgid(), os.getegid()} and not _capabilities()


def _landlock_holds() -> bool:
    # Where these exist, which is everywhere.
    return _refused(
        lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY),
        lambda: os.open("/proc/self/status", os.O_RDONLY),
    )


def _seccomp_holds() -> bool:
    return _refused(
        lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        lambda: os.open("/dev/null", os.O_WRONLY),
        lambda: os.execve("/", ["/"], {}),  # noqa: S606 - it must fail
        _fork,
        _attach,
        lambda: os.kill(os.getppid(), 0),
        lambda: mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC),
        by={errno.EPERM},  # Landlock's answer is another one
    )


def _fork() -> None:
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        os._exit(0)


def _attach() -> None:
    """Trace the process 0, which there is none of: with permission, another mistake is reported."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(_PTRACE_ATTACH, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


_PROOFS = {
    "limits": _limits_hold,
    "privileges": _privileges_hold,
    "user": _user_holds,
    "landlock": _landlock_holds,
    "seccomp": _seccomp_holds,
}

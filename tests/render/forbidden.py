"""What a taken-over render process would try, and which layers of the sandbox each stand in its way, alone.

Every action does no harm where it succeeds: it asks for nothing, or undoes what it did.
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
from collections.abc import Callable
from dataclasses import dataclass

REFUSED = {"EPERM", "EACCES", "ENOSYS"}
_libc = ctypes.CDLL(None, use_errno=True)
_SCRATCH = f"/tmp/imgproxy-forbidden-{os.getpid()}"


@dataclass(frozen=True)
class Action:
    act: Callable[[int], object]
    """Is given a source's descriptor."""
    guards: frozenset[str]
    """Each of these layers refuses it."""


def attempt(name: str, fd: int) -> str:
    """What came of an action: "done", or the name of the error."""
    try:
        ACTIONS[name].act(fd)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def _call(number: int, *arguments: object) -> int:
    """A system call by its number on x86_64: what no library stands before."""
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _open(path: str, flags: int) -> Callable[[int], object]:
    return lambda _: os.close(os.open(path, flags))


def _socket(family: int, kind: int, protocol: int = 0) -> Callable[[int], object]:
    return lambda _: socket.socket(family, kind, protocol).close()


def _raw(number: int, *arguments: object) -> Callable[[int], object]:
    return lambda _: _call(number, *arguments)


def _create(_: int) -> None:
    os.close(os.open(_SCRATCH, os.O_CREAT | os.O_WRONLY, 0o600))
    os.unlink(_SCRATCH)  # noqa: PTH108 - system calls, one by one


def _make_directory(_: int) -> None:
    os.mkdir(_SCRATCH)  # noqa: PTH102
    os.rmdir(_SCRATCH)  # noqa: PTH106


def _symlink(_: int) -> None:
    os.symlink("/etc/shadow", _SCRATCH)  # noqa: PTH211
    os.unlink(_SCRATCH)  # noqa: PTH108


def _fifo(_: int) -> None:
    os.mkfifo(_SCRATCH)
    os.unlink(_SCRATCH)  # noqa: PTH108


def _unlink(_: int) -> None:
    # The right to unlink in a directory comes before the question whether the name is there.
    try:
        os.unlink("/tmp")  # noqa: PTH108 - a directory: EISDIR where it is allowed to ask
    except IsADirectoryError:
        return


def _reopen_for_writing(fd: int) -> None:
    os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDWR))


def _fork(_: int) -> None:
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        os._exit(0)


def _clone_process(_: int) -> None:
    if child := _call(56, int(signal.SIGCHLD), 0, 0, 0, 0):
        os.waitpid(child, 0)
    else:
        os._exit(0)


def _connect(_: int) -> None:
    with socket.socket() as connection:
        try:
            connection.connect(("127.0.0.1", 9))
        except ConnectionRefusedError:
            return


def _listen(_: int) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))


def _read_server_memory(_: int) -> None:
    os.close(os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY))


def _map_code(_: int) -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()


def _make_executable(_: int) -> None:
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    _call(10, ctypes.c_void_p(address), mmap.PAGESIZE, 1 | 4)


def _set_limit(_: int) -> None:
    _call(302, 0, resource.RLIMIT_NOFILE, struct.pack("2Q", *resource.getrlimit(resource.RLIMIT_NOFILE)), None)


def _execute(path: str) -> Callable[[int], object]:
    return lambda _: os.execve(path, [path], {})


def _by(*layers: str) -> frozenset[str]:
    return frozenset(layers)


_FENCE, _CALLS, _BOTH, _ROOT = _by("landlock"), _by("seccomp"), _by("landlock", "seccomp"), _by("user", "seccomp")

_FILES = {
    "read /etc/passwd": Action(_open("/etc/passwd", os.O_RDONLY), _FENCE),
    "read /etc/shadow": Action(_open("/etc/shadow", os.O_RDONLY), _by("landlock", "user")),
    "read the server's environment": Action(
        lambda _: os.close(os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY)), _by("landlock", "user")
    ),
    "read the server's memory": Action(_read_server_memory, _by("landlock", "user")),
    "read our code": Action(_open(__file__, os.O_RDONLY), _FENCE),
    "read /proc/self/maps": Action(_open("/proc/self/maps", os.O_RDONLY), _FENCE),
    "list /": Action(_open("/", os.O_RDONLY | os.O_DIRECTORY), _FENCE),
    "list the processes": Action(_open("/proc", os.O_RDONLY | os.O_DIRECTORY), _FENCE),
    "create a file": Action(_create, _BOTH),
    "create a nameless file": Action(_open("/tmp", os.O_TMPFILE | os.O_RDWR), _BOTH),
    "make a directory": Action(_make_directory, _BOTH),
    "make a symbolic link": Action(_symlink, _BOTH),
    "make a pipe with a name": Action(_fifo, _BOTH),
    "unlink": Action(_unlink, _CALLS),
    "write to a device": Action(_open("/dev/null", os.O_WRONLY), _BOTH),
    "change a mode": Action(lambda fd: os.fchmod(fd, 0o777), _CALLS),
    "open the source for writing": Action(_reopen_for_writing, _CALLS),
    "open by handle": Action(_raw(304, -1, None, 0), _CALLS),
    "change the root": Action(lambda _: os.chroot("/"), _ROOT),
    "change the directory": Action(lambda _: os.chdir("/"), _CALLS),
    "mount": Action(_raw(165, None, b"/nowhere", None, 0, None), _CALLS),
    "watch files": Action(lambda _: os.close(_call(294, 0)), _CALLS),
}
_NETWORK = {
    "make a TCP socket": Action(_socket(socket.AF_INET, socket.SOCK_STREAM), _CALLS),
    "make a UDP socket": Action(_socket(socket.AF_INET, socket.SOCK_DGRAM), _CALLS),
    "make an IPv6 socket": Action(_socket(socket.AF_INET6, socket.SOCK_STREAM), _CALLS),
    "make a unix socket": Action(_socket(socket.AF_UNIX, socket.SOCK_STREAM), _CALLS),
    "make a netlink socket": Action(_socket(socket.AF_NETLINK, socket.SOCK_RAW), _CALLS),
    "make a raw socket": Action(_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), _ROOT),
    "make a file in memory": Action(lambda _: os.close(os.memfd_create("x")), _CALLS),
    "make a pair of sockets": Action(lambda _: [end.close() for end in socket.socketpair()], _CALLS),
    "connect": Action(_connect, _BOTH),
    "listen": Action(_listen, _BOTH),
    "make an io_uring": Action(_raw(425, 0, None), _CALLS),
}
_PROCESSES = {
    "fork": Action(_fork, _CALLS),
    "clone a process": Action(_clone_process, _CALLS),
    "clone3": Action(_raw(435, None, 0), _CALLS),
    "execute": Action(_execute("/nowhere"), _CALLS),
    "execute a shell by descriptor": Action(_raw(322, -1, b"", None, None, 0x1000), _CALLS),
    "trace": Action(_raw(101, 16, 0, 0, 0), _CALLS),
    "signal the server": Action(lambda _: os.kill(os.getppid(), 0), _by("landlock", "seccomp", "user")),
    "signal everybody": Action(lambda _: os.kill(1, 0), _by("landlock", "seccomp", "user")),
    "queue a signal": Action(lambda _: _call(129, os.getppid(), 0, None), _CALLS),
    "open the server's pidfd": Action(lambda _: os.close(os.pidfd_open(os.getppid())), _CALLS),
    "read the server's memory at once": Action(lambda _: _call(310, os.getppid(), None, 0, None, 0, 1 << 40), _CALLS),
    "set a limit": Action(_set_limit, _CALLS),
    "raise the priority": Action(lambda _: os.setpriority(os.PRIO_PROCESS, 0, 0), _ROOT),
    "leave the namespaces": Action(_raw(272, 0x40000000), _ROOT),
    "enter a namespace": Action(_raw(308, -1, 0), _CALLS),
    "become root": Action(lambda _: os.setuid(0), _ROOT),
    "map code": Action(_map_code, _CALLS),
    "make memory executable": Action(_make_executable, _CALLS),
    "be dumpable again": Action(lambda _: _call(157, 4, 1, 0, 0, 0), _CALLS),
    "load a BPF program": Action(_raw(321, 0, None, 0), _CALLS),
    "swap": Action(_raw(167, None, 0), _ROOT),
    "handle page faults": Action(lambda _: os.close(_call(323, 0x80000)), _CALLS),
    "use the keyring": Action(_raw(250, 0, -3, 0), _CALLS),
    "name the host": Action(_raw(170, None, 5), _ROOT),
    "change the personality": Action(_raw(135, 0xFFFFFFFF), _CALLS),
    "set a timer": Action(lambda _: signal.setitimer(signal.ITIMER_REAL, 0), _CALLS),
    "start a thread that is a process": Action(_raw(56, 0x10000 | 0x20000000, 0, 0, 0, 0), _CALLS),
}
ACTIONS = _FILES | _NETWORK | _PROCESSES

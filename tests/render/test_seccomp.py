"""The BPF program for both architectures, run here by a few lines instead of the kernel."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable

import pytest

from imgproxy.render import seccomp

PID = 4242
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
# linux/unistd.h, as published: not taken from the tables under test.
NUMBERS = {
    "x86_64": {
        "read": 0, "write": 1, "open": 2, "mmap": 9, "mprotect": 10, "rt_sigreturn": 15, "ioctl": 16, "pwrite64": 18,
        "madvise": 28,
        "socket": 41, "connect": 42, "sendmsg": 46, "recvmsg": 47, "bind": 49, "clone": 56, "fork": 57, "vfork": 58,
        "execve": 59, "kill": 62, "fcntl": 72, "ptrace": 101, "setuid": 105, "prctl": 157, "mount": 165,
        "tkill": 200, "futex": 202, "exit_group": 231, "tgkill": 234, "openat": 257, "unlinkat": 263, "prlimit64": 302,
        "process_vm_readv": 310, "seccomp": 317, "memfd_create": 319, "bpf": 321, "execveat": 322,
        "io_uring_setup": 425, "clone3": 435, "openat2": 437, "landlock_restrict_self": 446, "next": 470,
    },
    "aarch64": {
        "read": 63, "write": 64, "mmap": 222, "mprotect": 226, "rt_sigreturn": 139, "ioctl": 29, "pwrite64": 68,
        "madvise": 233,
        "socket": 198, "connect": 203, "sendmsg": 211, "recvmsg": 212, "bind": 200, "clone": 220, "execve": 221,
        "kill": 129, "fcntl": 25, "ptrace": 117, "setuid": 146, "prctl": 167, "mount": 40, "tkill": 130, "futex": 98,
        "exit_group": 94, "tgkill": 131, "openat": 56, "unlinkat": 35, "prlimit64": 261, "process_vm_readv": 270,
        "seccomp": 277, "memfd_create": 279, "bpf": 280, "execveat": 281, "io_uring_setup": 425, "clone3": 435,
        "openat2": 437, "landlock_restrict_self": 446, "next": 470,
    },
}  # fmt: skip
_FREE = ("read", "write", "rt_sigreturn", "madvise", "sendmsg", "recvmsg", "futex", "exit_group", "pwrite64")
_REFUSED = (
    "open", "socket", "connect", "bind", "fork", "vfork", "execve", "ptrace", "setuid", "mount", "tkill", "unlinkat",
    "process_vm_readv", "seccomp", "memfd_create", "bpf", "execveat",
)  # fmt: skip
_NEWER = ("io_uring_setup", "clone3", "openat2", "landlock_restrict_self", "next")
_THREAD = 0x3D0F00


def verdict(machine: str, number: int, arguments: Iterable[int] = (), architecture: int | None = None) -> int:
    """What the kernel would return."""
    words = [*arguments, *[0] * 6][:6]
    seen = struct.pack("=iIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *words)
    program = list(struct.iter_unpack("HBBI", seccomp.program(machine, PID)))
    accumulator = position = 0
    while True:
        code, if_true, if_false, operand = program[position]
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", seen, operand)
        elif code == 0x06:
            return operand
        else:
            holds = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: bool(accumulator & operand)}
            position += if_true if holds[code] else if_false


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_without_a_look_at_their_arguments(machine: str) -> None:
    numbers = NUMBERS[machine]
    assert {name: verdict(machine, numbers[name]) for name in _FREE} == dict.fromkeys(_FREE, ALLOW)
    refused = [name for name in _REFUSED if name in numbers]
    assert {name: verdict(machine, numbers[name]) for name in refused} == dict.fromkeys(refused, EPERM)
    assert {name: verdict(machine, numbers[name]) for name in _NEWER} == dict.fromkeys(_NEWER, ENOSYS)


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("openat", (0, 0, os.O_RDONLY | os.O_CLOEXEC), ALLOW),
        ("openat", (0, 0, os.O_WRONLY), EPERM),
        ("openat", (0, 0, os.O_RDWR), EPERM),
        ("openat", (0, 0, os.O_CREAT), EPERM),
        ("openat", (0, 0, os.O_TRUNC), EPERM),
        ("openat", (0, 0, 0o20000000), EPERM),
        ("mmap", (0, 4096, 3), ALLOW),
        ("mmap", (0, 4096, 5), EPERM),
        ("mprotect", (0, 4096, 0), ALLOW),
        ("mprotect", (0, 4096, 4), EPERM),
        ("clone", (_THREAD,), ALLOW),
        ("clone", (17,), EPERM),
        ("clone", (_THREAD & ~0x10000,), EPERM),
        ("clone", (_THREAD | 0x10000000,), EPERM),
        ("kill", (PID, 9), ALLOW),
        ("kill", (PID + 1, 9), EPERM),
        ("kill", (0, 9), EPERM),
        ("kill", (2**64 - 1, 9), EPERM),
        ("tgkill", (PID, PID, 6), ALLOW),
        ("tgkill", (1, 1, 6), EPERM),
        ("prlimit64", (0, 7, 0, 1), ALLOW),
        ("prlimit64", (0, 7, 1, 0), EPERM),
        ("prlimit64", (0, 7, 1 << 32, 0), EPERM),
        ("prctl", (15,), ALLOW),
        ("prctl", (4, 1), EPERM),
        ("prctl", (22, 2), EPERM),
        ("fcntl", (3, 1030), ALLOW),
        ("fcntl", (3, 8), EPERM),
        ("ioctl", (3, 0x5401), ALLOW),
        ("ioctl", (3, 0x5412), EPERM),  # TIOCSTI
    ],
)
def test_calls_that_depend_on_their_arguments(
    machine: str, name: str, arguments: tuple[int, ...], expected: int
) -> None:
    assert verdict(machine, NUMBERS[machine][name], arguments) == expected


def test_other_sets_of_numbers_are_the_end() -> None:
    """i386 calls by int 0x80, x32 calls, and a program of one architecture on another."""
    assert verdict("x86_64", 0, architecture=0x40000003) == KILL
    assert verdict("x86_64", 0x40000000) == KILL
    assert verdict("x86_64", 0x40000000 | 519) == KILL
    assert verdict("aarch64", 63, architecture=0x40000028) == KILL


def test_an_architecture_without_a_table_is_an_error() -> None:
    with pytest.raises(OSError, match="riscv64"):
        seccomp.program("riscv64", PID)

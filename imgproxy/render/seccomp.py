"""The system calls that a render process may still make: a list of what is allowed, loaded into the kernel as BPF.

What is not on the list fails with EPERM, so that a library which only tries something goes on without it. Calls that
are newer than the list fail with ENOSYS, as on an older kernel: glibc then falls back to what is older (clone3 to
clone). The program is written by hand, because libseccomp would be one more thing to install, and these few lines
assemble it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
# linux/bpf_common.h: load a word; jump if equal, at least, any of these bits set; return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data; an argument has 64 bits, its lower word first on both architectures."""
_SET_MODE_FILTER, _TSYNC = 1, 1
_X32 = 0x40000000
"""x86_64's second set of numbers for the same calls: a list that forgets it can be walked around."""
_FIRST_UNKNOWN = 424
"""From pidfd_send_signal (Linux 5.1) on, all architectures share their numbers; nothing from there on is needed."""

_COLUMNS = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""Column of the tables below, linux/audit.h's name of the architecture, and the number of seccomp() itself."""

# Numbers on x86_64 and on aarch64, which uses the generic table; -1 where there is no such call.
_ALLOWED: dict[str, tuple[int, int]] = {
    # what is open already
    "read": (0, 63),
    "write": (1, 64),
    "pwrite64": (18, 68),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "dup": (32, 23),
    "fadvise64": (221, 223),
    "getdents64": (217, 61),
    "fstatfs": (138, 44),
    "poll": (7, -1),
    "ppoll": (271, 73),
    # the socket to the server, the only one there is, and the files that results travel in
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    # whether a file exists: fontconfig asks. What is in it is Landlock's matter.
    "stat": (4, -1),
    "lstat": (6, -1),
    "access": (21, -1),
    "faccessat": (269, 48),
    "readlink": (89, -1),
    "readlinkat": (267, 78),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "getcwd": (79, 17),
    # memory
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # threads and signals
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "membarrier": (324, 283),
    "set_tid_address": (218, 96),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getscheduler": (145, 120),
    "sched_getparam": (143, 121),
    "getpriority": (140, 141),
    "getcpu": (309, 168),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # clocks, and what a process knows of itself
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, -1),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getsid": (124, 156),
    "capget": (125, 90),
    "getrlimit": (97, 163),
    "sysinfo": (99, 179),
    "uname": (63, 160),
}

# Allowed with some arguments only; see _conditions.
_CONDITIONAL: dict[str, tuple[int, int]] = {
    "openat": (257, 56),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "clone": (56, 220),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "prctl": (157, 167),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
}

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | 0o20000000  # __O_TMPFILE
_PROT_EXEC = 4
_THREAD_FLAGS = (0x3D0F00, 0x7D0F00)
"""What glibc and musl make a thread with, to the bit: whatever else clone can make is no thread of this process."""
_FCNTLS = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
_IOCTLS = (0x5401, 0x5421, 0x5450, 0x5451)  # TCGETS (isatty), FIONBIO, FIONCLEX, FIOCLEX
_PRCTLS = (2, 3, 15, 16, 39)  # what was set of pdeathsig, dumpable and no-new-privs; names of threads

_Instruction = tuple[int, int, int, int]
"""A sock_filter: operation, how far to jump if it is true and if not, operand."""


def install() -> None:
    """Hold all threads of this process to the list. Raises OSError where the kernel, or its keeper, refuses.

    Needs no-new-privs.
    """
    code = program(platform.machine(), os.getpid())
    filters = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(filters)))
    number = _COLUMNS[platform.machine()][2]
    libc = ctypes.CDLL(None, use_errno=True)
    if failed := libc.syscall(number, _SET_MODE_FILTER, _TSYNC, header):  # above 0: the thread that could not follow
        raise OSError(ctypes.get_errno() if failed < 0 else errno.ESRCH, "seccomp")


def program(machine: str, pid: int) -> bytes:
    """The filter for a process on this architecture. Raises OSError where there is no table for it."""
    if machine not in _COLUMNS:
        raise OSError(errno.ENOSYS, f"no table of system calls for {machine}")
    column, architecture, _ = _COLUMNS[machine]
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    # These first: what is allowed without a look at its arguments, the kernel remembers, and runs no program for it.
    for name, block in _conditions(pid).items():
        code += _case(_CONDITIONAL[name][column], block)
    for numbers in _ALLOWED.values():
        if numbers[column] >= 0:
            code += _case(numbers[column], [_allow()])
    code += [(_AT_LEAST, 0, 1, _FIRST_UNKNOWN), _refuse(errno.ENOSYS), _refuse(errno.EPERM)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _conditions(pid: int) -> dict[str, list[_Instruction]]:
    return {
        "mmap": _unless_any(2, _PROT_EXEC),  # all code is mapped by now, and nothing here compiles at run time
        "mprotect": _unless_any(2, _PROT_EXEC),
        "openat": _unless_any(2, _WRITING),
        "clone": _if_one_of(0, _THREAD_FLAGS),
        "kill": _if_one_of(0, (pid,)),
        "tgkill": _if_one_of(0, (pid,)),  # abort() is that
        "prlimit64": _if_null(2),
        "prctl": _if_one_of(0, _PRCTLS),
        "fcntl": _if_one_of(1, _FCNTLS),
        "ioctl": _if_one_of(1, _IOCTLS),
    }


def _case(number: int, block: list[_Instruction]) -> list[_Instruction]:
    return [(_EQUAL, 0, len(block), number), *block]


def _unless_any(argument: int, bits: int) -> list[_Instruction]:
    return [_lower_word(argument), (_ANY_OF, 0, 1, bits), _refuse(errno.EPERM), _allow()]


def _if_one_of(argument: int, values: tuple[int, ...]) -> list[_Instruction]:
    """The kernel itself reads these arguments as 32 bits."""
    cases = [each for value in values for each in _case(value, [_allow()])]
    return [_lower_word(argument), *cases, _refuse(errno.EPERM)]


def _if_null(pointer: int) -> list[_Instruction]:
    lower, operation = _lower_word(pointer), (_EQUAL, 1, 0, 0)
    upper = (*lower[:3], lower[3] + 4)
    return [lower, operation, _refuse(errno.EPERM), upper, operation, _refuse(errno.EPERM), _allow()]


def _lower_word(argument: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)


def _allow() -> _Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _refuse(number: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)

"""Opening of files that lie beneath a directory, whatever their name says."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from dataclasses import dataclass

_OPENAT2 = 437  # the same number on every architecture (Linux 5.6)
_RESOLVE = 0x02 | 0x04 | 0x08  # NO_MAGICLINKS, NO_SYMLINKS, BENEATH (linux/openat2.h)
# O_NONBLOCK: opening a FIFO must not wait for a writer.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


@dataclass(slots=True)
class RegularFile:
    """An open regular file.

    Closed by ``close``, or when nobody holds it any more: a cancelled wait for the thread that
    opens it drops the result on the floor.
    """

    fd: int
    size: int
    mtime_ns: int

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


def open_file(root: str, name: bytes) -> RegularFile:
    """The regular file ``name`` beneath ``root``, which may itself be a link.

    OSError where there is none, or where a symbolic link or a `..` would have to be followed.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = _open(directory, parts)
    finally:
        os.close(directory)
    facts = os.fstat(fd)
    file = RegularFile(fd, facts.st_size, facts.st_mtime_ns)
    if not stat.S_ISREG(facts.st_mode):
        file.close()
        raise OSError(errno.ENOENT, "not a regular file")
    return file


def _open(directory: int, parts: list[bytes]) -> int:
    try:
        return openat2(directory, b"/".join(parts))
    except OSError as error:
        # EPERM: an old container runtime's seccomp profile does not know the call.
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    return walk(directory, parts)


def openat2(directory: int, path: bytes) -> int:
    """A descriptor of the file, found by the kernel without leaving the directory."""
    how = _OpenHow(_FLAGS, 0, _RESOLVE)
    fd = _libc.syscall(_OPENAT2, directory, path, ctypes.byref(how), ctypes.sizeof(how))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


def walk(directory: int, parts: list[bytes]) -> int:
    """The same in steps of one part each, none of which can be a link."""
    here = os.dup(directory)
    try:
        for part in parts[:-1]:
            below = os.open(part, _STEP, dir_fd=here)
            os.close(here)
            here = below
        return os.open(parts[-1], _FLAGS, dir_fd=here)
    finally:
        os.close(here)

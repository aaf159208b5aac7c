"""A policy around a render process, as a container may have one: ``outer.py NUMBER,… COMMAND…`` refuses these calls."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

SECCOMP, LANDLOCK = (317, 157_022), (444, 445, 446)
BOTH = (*SECCOMP, *LANDLOCK)
"""Numbers of system calls on x86_64; 157_022 stands for prctl(PR_SET_SECCOMP)."""


def refuse(numbers: list[int]) -> None:
    code = [(0x20, 0, 0, 0)]
    for number in numbers:
        if number == 157_022:
            code += [(0x15, 0, 4, 157), (0x20, 0, 0, 16), (0x15, 0, 1, 22), (0x06, 0, 0, 0x50000 | errno.EPERM)]
            code += [(0x20, 0, 0, 0)]
        else:
            code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno.EPERM)]
    code.append((0x06, 0, 0, 0x7FFF0000))
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
    filters = ctypes.create_string_buffer(packed, len(packed))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(filters)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(38, 1, 0, 0, 0)
    if prctl(22, 2, header, 0, 0):
        raise OSError(ctypes.get_errno(), "no outer policy")


if __name__ == "__main__":
    refuse([int(number) for number in sys.argv[1].split(",")])
    os.execv(sys.argv[2], sys.argv[2:])

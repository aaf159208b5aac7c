"""Landlock: a kernel fence around files, TCP and signals that a process needs no privilege to put around itself."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_ONLY = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights on files an ABI knows, from the lowest bit on (linux/landlock.h)."""
_TCP = 0b11
"""Bind and connect, from ABI 4 on."""
_SCOPES = 0b11
"""Abstract unix sockets and signals of processes outside, from ABI 6 on."""


def abi() -> int:
    """The version of Landlock that this kernel has. Raises OSError if it has none, or it is off, or forbidden."""
    return _call(_CREATE_RULESET, None, 0, _VERSION_ONLY)


def restrict(readable: Iterable[str]) -> int:
    """Refuse this thread, and those it starts, all files but those beneath ``readable``; the ABI reached.

    What is open stays usable. Everything that the kernel's ABI can refuse is refused: TCP from 4 on, signals to the
    outside from 6 on. Needs no-new-privs. Raises OSError; see abi.
    """
    version = abi()
    rights = (1 << _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]) - 1
    attributes = [rights, *([_TCP] if version >= 4 else []), *([_SCOPES] if version >= 6 else [])]
    packed = struct.pack(f"{len(attributes)}Q", *attributes)
    ruleset = _call(_CREATE_RULESET, packed, len(packed), 0)
    try:
        for path in readable:
            _allow(ruleset, path)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str) -> None:
    try:
        directory = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    except OSError:  # not there: nothing to read
        return
    try:
        rule = struct.pack("=Qi", _READ_FILE | _READ_DIRECTORY, directory)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(directory)


def _call(*arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: {os.strerror(number)}")
    return result

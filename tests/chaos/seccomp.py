# SPDX-License-Identifier: Apache-2.0
"""Seccomp user notification (seccomp(2), seccomp_unotify(2)) through ctypes: a process whose chosen system calls wait,
each before it has happened, until another process lets them go on, fail or never happen.

``strace -e inject=…:when=N`` counts each thread for itself; here one listener sees the calls of all threads in one
order, and the process stands still while it is killed. No root, no ptrace, no change in the product.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from typing import Final

from tests.chaos.system_calls import this_machine

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15
_JUMP_SET: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_NOTIFY: Final = 0x7FC00000
_NUMBER_AT: Final = 0
_AUDIT_AT: Final = 4
_ARGUMENTS_AT: Final = 16

_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3
_WAIT_KILLABLE: Final = 1 << 5
_NO_NEW_PRIVS: Final = 38
_PIDFD_GETFD: Final = 438

_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_CONTINUE: Final = 1
_NOTIFICATION: Final = struct.Struct("=QII iIQ6Q")
_RESPONSE: Final = struct.Struct("=QqiI")

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


@dataclass(frozen=True, slots=True)
class Notice:
    """A call that waits."""

    id: int
    pid: int
    """Of the thread that makes it."""
    number: int
    arguments: tuple[int, ...]


def program() -> bytes:
    """The filter: the calls of the table wait, all others pass."""
    machine = this_machine()
    code = [_step(_LOAD, _AUDIT_AT), _step(_JUMP_EQUAL, machine.audit, 1, 0), _step(_RETURN, _ALLOW)]
    code.append(_step(_LOAD, _NUMBER_AT))
    for number, call in sorted(machine.numbers.items()):
        if call.creates is None:
            code += [_step(_JUMP_EQUAL, number, 0, 1), _step(_RETURN, _NOTIFY)]
        else:
            code += [
                _step(_JUMP_EQUAL, number, 0, 4),
                _step(_LOAD, _ARGUMENTS_AT + 8 * call.creates),
                _step(_JUMP_SET, os.O_CREAT, 0, 1),
                _step(_RETURN, _NOTIFY),
                _step(_RETURN, _ALLOW),
            ]
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def install() -> int:
    """Put the filter on this process, for good; returns the listener. The next filtered call waits already.

    Raises:
        OSError: The kernel cannot.
    """
    code = program()
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    argument = _Program(len(code) // 8, code)
    seccomp = this_machine().seccomp
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        listener = int(_libc.syscall(seccomp, _SET_MODE_FILTER, flags, ctypes.byref(argument)))
        if listener >= 0:
            return listener
    raise OSError(ctypes.get_errno(), "seccomp user notification")


def descriptor_of(pidfd: int, number: int) -> int:
    """A copy of another process's descriptor.

    Raises:
        OSError: The process or the descriptor is gone.
    """
    copy = int(_libc.syscall(_PIDFD_GETFD, pidfd, number, 0))
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return copy


def receive(listener: int) -> Notice | None:
    """The next waiting call; None when the caller was killed meanwhile.

    Raises:
        OSError: Nobody is left who could make one.
    """
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    id_, pid, _flags, number, _audit, _pointer, *arguments = _NOTIFICATION.unpack(buffer)
    return Notice(id_, pid, number, tuple(arguments))


def let_pass(listener: int, notice: Notice) -> None:
    """The call happens."""
    _respond(listener, _RESPONSE.pack(notice.id, 0, 0, _CONTINUE))


def fail(listener: int, notice: Notice, number: int) -> None:
    """The call does not happen and fails with an errno."""
    _respond(listener, _RESPONSE.pack(notice.id, 0, -number, 0))


def pretend(listener: int, notice: Notice, value: int) -> None:
    """The call does not happen, and seems to have returned a value."""
    _respond(listener, _RESPONSE.pack(notice.id, value, 0, 0))


def _respond(listener: int, response: bytes) -> None:
    try:
        fcntl.ioctl(listener, _SEND, response)
    except OSError as error:
        if error.errno != errno.ENOENT:  # Killed while it waited: there is nobody to answer.
            raise

"""A child that does not outlive its parent, and shows it that it goes on."""

import ctypes
import os
import signal
import stat
import sys

_PR_SET_PDEATHSIG = 1
_STDERR = 2


def die_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `number` to this process when the thread that started it ends; exits if it already has.

    Linux ties the signal to that thread, not to its process; elsewhere only the check for a lost parent is made.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        raise SystemExit(128 + int(number))


def sign_of_life() -> None:
    """Touch the file that standard error goes to: a parent that gave it tells a process at work from one that hangs."""
    try:
        if stat.S_ISREG(os.fstat(_STDERR).st_mode):
            os.utime(_STDERR)
    except OSError:
        return  # closed, or on a disk that is gone: the parent waits for as long as it waits

"""A child that does not outlive its parent."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `number` to this process when the thread that started it ends; exits if it already has.

    Linux ties the signal to that thread, not to its process; elsewhere only the check for a lost parent is made.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        raise SystemExit(128 + int(number))

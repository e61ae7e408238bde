"""Starts the other processes of a training, and ends with them: none is left waiting for one that is gone."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from wrappers.ranks import ALONE, Ranks, environment, join


@contextmanager
def together(command: Sequence[str], count: int, on_lost: Callable[[], None]) -> Iterator[Ranks]:
    """This process as the first of `count`, the others started by `command`; `on_lost` is called when one fails.

    They are told by their environment who they are, share this one's errors, and are ended with it.
    """
    if count == 1:
        yield ALONE
        return
    port = _free_port()
    others = [
        subprocess.Popen(command, env={**os.environ, **environment(index, count, port)}, stdin=subprocess.DEVNULL)
        for index in range(1, count)
    ]
    done = threading.Event()
    for other in others:
        threading.Thread(target=_watch, args=(other, done, on_lost), name="together", daemon=True).start()
    os.environ.update(environment(0, count, port))
    try:
        yield join()
    finally:
        done.set()
        _leave()
        for other in others:
            _end(other)


def _leave() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _watch(other: "subprocess.Popen[bytes]", done: threading.Event, on_lost: Callable[[], None]) -> None:
    if other.wait() and not done.is_set():
        on_lost()


def _end(other: "subprocess.Popen[bytes]") -> None:
    try:
        other.wait(30)
    except subprocess.TimeoutExpired:
        other.kill()
        other.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])

"""Telling who follows the store on this machine that champion or experiment changed: they look at once.

Only a hint, which may be lost: whoever follows also looks every now and then, which finds the same. A datagram to an
abstract Unix socket leaves no file, needs no key and says nothing.
"""

import hashlib
import socket

from sqlalchemy import URL, Connection

MOST_LISTENERS = 8
_CHANGED = "whetstone_changed"


def changed(connection: Connection) -> None:
    """Note that this transaction is one to tell of, once it is committed."""
    connection.info[_CHANGED] = True


def take_changed(connection: Connection) -> bool:
    """Whether the transaction that was just committed is one to tell of."""
    return bool(connection.info.pop(_CHANGED, False))


def knock(database: URL) -> None:
    """Tell whoever listens; costs microseconds, and never fails."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for place in range(MOST_LISTENERS):
                _send(sender, _address(database, place))
    except OSError:
        return


def listen(database: URL) -> socket.socket | None:
    """A socket that becomes readable when somebody knocks; None where all places are taken."""
    for place in range(MOST_LISTENERS):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setblocking(False)
        try:
            listener.bind(_address(database, place))
        except OSError:
            listener.close()
        else:
            return listener
    return None


def _send(sender: socket.socket, address: bytes) -> None:
    try:
        sender.sendto(b"!", address)
    except OSError:  # nobody there, or one who was told already and has not looked yet
        return


def _address(database: URL, place: int) -> bytes:
    name = hashlib.sha256(database.render_as_string(hide_password=True).encode()).hexdigest()[:32]
    return b"\0whetstone-" + f"{name}-{place}".encode()

"""A way to the server on which a test can count what a client sends, and act before one of its messages arrives."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ASKS_FOR_ENCRYPTION = (80877103, 80877104)
"""SSLRequest and GSSENCRequest: https://www.postgresql.org/docs/current/protocol-message-formats.html"""
_ENDS_A_TURN = b"QS"
"""A simple query, and the Sync behind an extended one."""


class Proxy:
    """Listens on a port of its own, and passes on to the server's.

    :param before: called with how many queries clients have sent in all, before each of them is passed on.
    """

    def __init__(self, port: int, before: Callable[[int], None]) -> None:
        self._server = port
        self._before = before
        self._lock = threading.Lock()
        self.turns = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            threading.Thread(target=self._client_to_server, args=(client, server), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _client_to_server(self, client: socket.socket, server: socket.socket) -> None:
        is_open = False
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError), client.makefile("rb") as stream:
            # the other direction still waits for the server: closing alone would not end the connection
            stack.callback(_end, server)
            while True:
                kind = stream.read(1) if is_open else b""
                head = stream.read(4)
                if len(head) < 4:
                    return
                body = stream.read(struct.unpack("!I", head)[0] - 4)
                if not is_open:
                    is_open = struct.unpack("!I", body[:4])[0] not in _ASKS_FOR_ENCRYPTION
                elif kind in _ENDS_A_TURN:
                    with self._lock:
                        self.turns += 1
                        self._before(self.turns)
                server.sendall(kind + head + body)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    _end(to)
    source.close()


@contextlib.contextmanager
def proxy(port: int, before: Callable[[int], None]) -> Iterator[Proxy]:
    """Be between clients and a server for a while."""
    made = Proxy(port, before)
    try:
        yield made
    finally:
        made.close()

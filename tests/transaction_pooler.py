"""A pooler small enough for a test: every transaction of a client may run in another session of the real server."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102


class TransactionPooler:
    """Listens on loopback and speaks just enough of the protocol to see where a transaction ends.

    :param turns: take the server's sessions in turn; else the last one that was used, as an idle pgbouncer does.
    :param session_mode: one session for each client, as long as it stays.
    """

    def __init__(self, server_port: int, *, turns: bool = False, session_mode: bool = False) -> None:
        self._server_port = server_port
        self._turns = turns
        self._session_mode = session_mode
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            startup = self._startup(client)
            if startup is None:
                return
            with self._lock:
                while len(self._idle) < 3:
                    self._idle.append(self._open(startup))
            client.sendall(self._greeting)
            session: socket.socket | None = None
            while True:
                kind, message = _message(client)
                if kind == b"X":
                    return
                if session is None:
                    with self._lock:
                        session = self._idle.pop(0 if self._turns else -1)
                session.sendall(message)
                if kind not in b"QS":
                    continue
                if self._answer(session, client) == b"I" and not self._session_mode:
                    with self._lock:
                        self._idle.append(session)
                    session = None
        except OSError:
            return

    def _startup(self, client: socket.socket) -> bytes | None:
        while True:
            head = _exactly(client, 8)
            size, code = struct.unpack("!ii", head)
            if code == _CANCEL:
                return None
            if code not in (_SSL, _GSS):
                return head + _exactly(client, size - 8)
            client.sendall(b"N")

    def _open(self, startup: bytes) -> socket.socket:
        session = socket.create_connection(("127.0.0.1", self._server_port))
        self._sockets.append(session)
        session.sendall(startup)
        greeting = b""
        while True:
            kind, message = _message(session)
            if kind == b"K":  # a pooler's client is told a process id that is no process of the server
                message = b"K" + struct.pack("!iii", 12, 1, 1)
            greeting += message
            if kind == b"Z":
                self._greeting = greeting
                return session

    @staticmethod
    def _answer(session: socket.socket, client: socket.socket) -> bytes:
        """Hand the server's answer on; return the status of the transaction after it."""
        while True:
            kind, message = _message(session)
            client.sendall(message)
            if kind == b"Z":
                return message[-1:]


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(source, 5)
    return head[:1], head + _exactly(source, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data

"""A way to the server on which a test can count what a client sends, and act before one of its messages arrives."""

from __future__ import annotations

import asyncio
import contextlib
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
        self.turns = 0
        self.port = 0
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """Let nobody in any more, and wait until those inside have gone."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        talks: set[asyncio.Task[None]] = set()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.add(asyncio.current_task())  # type: ignore[arg-type]
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        await asyncio.gather(*talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server)
        back = asyncio.create_task(_pass_on(from_server, writer))
        try:
            await self._client_to_server(reader, to_server)
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            for one in (writer, to_server):
                one.close()
                with contextlib.suppress(OSError):
                    await one.wait_closed()

    async def _client_to_server(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        is_open = False
        while True:
            kind = await client.readexactly(1) if is_open else b""
            head = await client.readexactly(4)
            body = await client.readexactly(struct.unpack("!I", head)[0] - 4)
            if not is_open:
                is_open = struct.unpack("!I", body[:4])[0] not in _ASKS_FOR_ENCRYPTION
            elif kind in _ENDS_A_TURN:
                self.turns += 1
                self._before(self.turns)
            server.write(kind + head + body)
            await server.drain()


async def _pass_on(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            to.write(data)
            await to.drain()


@contextlib.contextmanager
def proxy(port: int, before: Callable[[int], None]) -> Iterator[Proxy]:
    """Be between clients and a server for a while."""
    made = Proxy(port, before)
    try:
        yield made
    finally:
        made.close()

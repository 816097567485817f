"""Where a database is reached, and how we connect to it ourselves."""

from __future__ import annotations

import ipaddress
import os
import shlex
import ssl
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from alembic_safe.database.libpq_words import (
    DEFAULT_PORT,
    compiled_defaults,
    connect_arguments,
    libpq_names,
    place_in_environment,
    socket_parts,
)
from alembic_safe.errors import Missing, NextStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import URL, Connection

APPLICATION_NAME = "alembic-safe"
CONNECT_TIMEOUT = 10
"""Seconds for one attempt to connect, unless the URL says otherwise."""

SECRETS = frozenset({"sslpassword", "oauth_client_secret"})
"""libpq parameters beside ``password`` that must stand on no command line."""

_OWN_FIELDS = frozenset({"host", "port", "user", "dbname", "password"})
# what the application's connection says about itself, and what libpq has already turned into a password or a host
_NOT_CARRIED = frozenset(
    {"application_name", "fallback_application_name", "client_encoding", "replication", "passfile"}
)


@dataclass(frozen=True)
class Endpoint:
    """Where one database is reached, in the terms of libpq.

    :param host: a host name, an address, or the folder of a unix socket; empty: libpq's own default socket.
    :param parameters: further libpq parameters (``sslmode``, ``hostaddr``, ``options``, ...), in a fixed order.
    :param secrets: further libpq parameters that must never be shown.
    """

    host: str
    port: int
    user: str
    database: str
    password: str | None = field(default=None, repr=False)
    parameters: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def from_url(cls, url: URL) -> Endpoint:
        """Read an SQLAlchemy URL as its driver would; what it leaves open comes from libpq's environment variables.

        A URL that names several hosts is kept as it is; see :meth:`from_connection` for the one really reached.
        """
        return cls._from_parameters({**place_in_environment(), **libpq_names(connect_arguments(url))})

    @classmethod
    def from_connection(cls, connection: Connection) -> Endpoint:
        """Read where a live connection has really arrived: the host of several, the password that an event put in.

        :param connection: SQLAlchemy's connection; with a driver that cannot tell, its engine's URL is read.
        """
        driver = connection.connection.driver_connection
        info: Any = getattr(driver, "info", None)
        if hasattr(info, "get_parameters"):  # psycopg 3, sync and async
            return cls._from_libpq(info, info.get_parameters(), info.dbname)
        if hasattr(info, "dsn_parameters"):  # psycopg2
            return cls._from_libpq(info, info.dsn_parameters, info.dbname)
        return cls.from_url(connection.engine.url)._arrived(driver)  # noqa: SLF001 - another Endpoint's

    @classmethod
    def _from_libpq(cls, info: Any, parameters: Mapping[str, str], database: str) -> Endpoint:
        given = dict(parameters)
        if given.get("hostaddr"):
            # libpq tells an address even where none was asked for; only an asked-for one is part of the way there
            given["hostaddr"] = getattr(info, "hostaddr", None) or given["hostaddr"]
        given.pop("service", None)  # already resolved into what follows
        here = {"host": info.host, "port": str(info.port), "user": info.user, "password": info.password}
        return cls._from_parameters({**given, **here, "dbname": database})

    @classmethod
    def _from_parameters(cls, given: Mapping[str, str | None]) -> Endpoint:
        defaults = compiled_defaults()
        known = defaults.keys() - _OWN_FIELDS - _NOT_CARRIED
        # psycopg2 lists every default; an older pg_dump would stop at a parameter that its libpq does not know yet
        extra = sorted(
            (key, value) for key, value in given.items() if key in known and value not in ("", None, defaults[key])
        )
        port = (given.get("port") or "").split(",")[0]
        user = given.get("user") or ""
        return cls(
            host=given.get("host") or "",
            port=int(port) if port else DEFAULT_PORT,
            user=user,
            database=given.get("dbname") or user,
            password=given.get("password") or None,
            parameters=tuple(pair for pair in extra if pair[0] not in SECRETS) + _several_ports(given.get("port")),
            secrets=tuple(pair for pair in extra if pair[0] in SECRETS),
        )

    def _arrived(self, driver: Any) -> Endpoint:
        """Add what a live asyncpg connection knows; it has no public way to tell, and other drivers none at all."""
        address, known = getattr(driver, "_addr", None), getattr(driver, "_params", None)
        if known is None:
            return self
        endpoint = self
        if isinstance(address, tuple):
            endpoint = replace(endpoint, host=str(address[0]), port=int(address[1]))
        elif isinstance(address, str):
            folder, port = socket_parts(address)
            endpoint = replace(endpoint, host=folder, port=port)
        if isinstance(getattr(known, "password", None), str):
            endpoint = replace(endpoint, password=known.password)
        if isinstance(known.ssl, ssl.SSLContext) and "sslmode" not in dict(endpoint.parameters):
            # a context does not tell which files it was made from: at least encrypted, as the application is
            mode = getattr(known.sslmode, "name", "disable").replace("_", "-")
            endpoint = endpoint.with_parameter("sslmode", mode if mode in ("allow", "prefer") else "require")
        return replace(endpoint, user=known.user or endpoint.user, database=known.database or endpoint.database)

    def with_database(self, name: str) -> Endpoint:
        """Return the same way to another database of the same server."""
        return replace(self, database=name)

    def with_parameter(self, key: str, value: str) -> Endpoint:
        """Return the same place with one libpq parameter set."""
        return replace(self, parameters=tuple(sorted({**dict(self.parameters), key: value}.items())))

    @property
    def shown(self) -> str:
        """The place as a person names it: ``shop on db.prod.internal``, ``:port`` only where it is not 5432."""
        host = self.host or dict(self.parameters).get("hostaddr") or "the local socket"
        return f"{self.database} on {host}" + ("" if self.port == DEFAULT_PORT else f":{self.port}")

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine: a socket, ``localhost`` or a loopback address; in doubt, not."""
        parameters = dict(self.parameters)
        if "service" in parameters:  # whatever the service file says
            return False
        given = [text for text in (self.host, parameters.get("hostaddr", "")) if text]
        return all(_loopback(part.strip()) for text in given for part in text.split(","))

    def conninfo(self, **overrides: str | None) -> str:
        """Return libpq's connection string, without password and secrets: fit for a command line."""
        here = {"host": self.host or None, "port": str(self.port), "user": self.user or None, "dbname": self.database}
        return make_conninfo("", **{**here, **dict(self.parameters), **overrides})

    def connect(
        self,
        *,
        database: str | None = None,
        autocommit: bool = True,
        application_name: str = APPLICATION_NAME,
        **params: Any,
    ) -> psycopg.Connection[Any]:
        """Open a connection of our own.

        :param database: another database of the same server.
        :param params: further arguments of :func:`psycopg.connect`; they beat those of the endpoint.
        :raises Missing: when the server does not let us in; the message holds its own words, never the password.
        """
        target = self if database is None else self.with_database(database)
        # no prepared statements: the way may lead through a pooler in transaction mode
        arguments: dict[str, Any] = {"prepare_threshold": None, "connect_timeout": CONNECT_TIMEOUT}
        # UTF-8 whatever the database is in: from an SQL_ASCII one, psycopg would hand names over as bytes
        arguments |= dict(target.secrets) | {"application_name": application_name, "client_encoding": "utf8"}
        if target.password is not None:
            arguments["password"] = target.password
        arguments |= {"connect_timeout": dict(target.parameters).get("connect_timeout", CONNECT_TIMEOUT)} | params
        try:
            return psycopg.connect(target.conninfo(), autocommit=autocommit, **arguments)
        except psycopg.Error as error:
            raise target._unreachable(error) from error  # noqa: SLF001 - another Endpoint's

    def _unreachable(self, error: psycopg.Error) -> Missing:
        words = [line.strip() for line in str(error).splitlines() if line.strip()]
        host = self.host or dict(self.parameters).get("hostaddr") or "the local socket"
        where = f"host {host}, port {self.port}, database {self.database}, user {self.user or '(none)'}"
        return Missing(
            f"The database cannot be reached: {where}.", detail=words or [type(error).__name__],
            next_steps=[self._way_on()],
        )  # fmt: skip

    def _way_on(self) -> NextStep:
        """Judge by libpq's ping, which needs no right to log in and speaks no language."""
        address = ["-h", dict(self.parameters).get("hostaddr") or self.host] if self.host or self.parameters else []
        address = address if address and address[1] else []
        place = shlex.join([*address, "-p", str(self.port)])
        ping = PGconn.ping(make_conninfo(self.conninfo(), connect_timeout=CONNECT_TIMEOUT).encode())
        if ping == Ping.OK:
            login = shlex.join(["-U", self.user or os.environ.get("PGUSER", "USER"), "-d", self.database])
            return NextStep(
                "the server answers: check user, password, database name and pg_hba.conf", f"psql {place} {login}"
            )
        if ping == Ping.REJECT:
            return NextStep("the server takes no connections at the moment; see when it does", f"pg_isready {place}")
        return NextStep("nothing answers there: check address, network and that the server runs", f"pg_isready {place}")


def _several_ports(port: str | None) -> tuple[tuple[str, str], ...]:
    # hosts with a port each: the list goes to libpq as it is
    return (("port", port),) if port and "," in port else ()


def _loopback(host: str) -> bool:
    if host.startswith(("/", "@")) or host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback

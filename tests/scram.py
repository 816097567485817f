"""A server that really asks for a password: scram-sha-256 on loopback and on its socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from tests.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

# one line of libpq's files would be cut at the end, split at the colon or unescaped at the backslash
PASSWORD = "Gre\u00dfe:p\\w'd % = # trailing "


@dataclass(frozen=True)
class Guarded:
    """The server, and the one superuser who may log in."""

    cluster: Cluster
    user: str = "Own\u00e9r of it"
    password: str = PASSWORD

    @property
    def port(self) -> int:
        """Port on loopback, and of the socket."""
        return self.cluster.port

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Connect over TCP with the password."""
        return self.cluster.connect(database, user=self.user, password=self.password)


def guarded_server() -> Iterator[Guarded]:
    """Start the server, and stop it when the test module is done; for a fixture to yield from."""
    cluster = Cluster.start()
    try:
        guarded = Guarded(cluster)
        with cluster.connect() as c:
            role = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}")
            c.execute(role.format(sql.Identifier(guarded.user), sql.Literal(guarded.password)))
        (cluster.folder / "data" / "pg_hba.conf").write_text(
            "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        cluster.run("pg_ctl", "-D", cluster.data, "reload")
        yield guarded
    finally:
        cluster.stop()

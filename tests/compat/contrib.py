"""Starts a throw-away PostgreSQL with contrib extensions, from the newest such server on this machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.cluster import Cluster

DEBIAN_SERVERS = Path("/usr/lib/postgresql")
EXTENSIONS = ("btree_gist", "citext", "hstore", "uuid-ossp")
"""What Alembic's own tests ask for, see ``tests/requirements.py`` and ``README.unittests.rst`` of its sources."""


def newest_server_with_contrib() -> Path | None:
    """Return the ``bin`` folder of the newest Debian server that has all :data:`EXTENSIONS`, if there is one."""
    found = sorted(DEBIAN_SERVERS.glob("*/bin/initdb"), key=lambda path: float(path.parents[1].name), reverse=True)
    for initdb in found:
        asked = [str(initdb.parent / "pg_config"), "--sharedir"]
        share = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        if all((Path(share) / "extension" / f"{name}.control").exists() for name in EXTENSIONS):
            return initdb.parent
    return None


class ContribCluster(Cluster):
    """A throw-away cluster of the Debian server: the embedded wheel brings no contrib extensions."""

    @property
    def bin(self) -> Path:
        """Return the folder of the server's programs.

        :raises FileNotFoundError: when this machine has no server with contrib.
        """
        folder = newest_server_with_contrib()
        if folder is None:
            raise FileNotFoundError("no server with contrib here:  apt-get install postgresql postgresql-contrib")
        return folder


def start_with_contrib(**conf: str) -> ContribCluster:
    """Start a cluster of the newest server with contrib.

    :param conf: lines of ``postgresql.conf``.
    :raises FileNotFoundError: when this machine has no such server.
    """
    folder = newest_server_with_contrib()
    version = re.search(r"\d+", str(folder))
    return ContribCluster.start(int(version[0]) if version else 0, **conf)

"""How the words of drivers and of the environment for a place become those of libpq."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from psycopg.pq import Conninfo
from sqlalchemy.exc import NoSuchModuleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import URL

DEFAULT_PORT = 5432


@functools.cache
def compiled_defaults() -> dict[str, str | None]:
    """Return libpq's parameters with the values they have when nobody sets them."""
    options = Conninfo.get_defaults()
    found = {option.keyword.decode(): option.compiled.decode() if option.compiled else None for option in options}
    # these differ between builds with and without TLS and GSSAPI
    return found | {"channel_binding": "prefer", "gssencmode": "prefer", "sslcertmode": "allow"}


def place_in_environment() -> dict[str, str | None]:
    """Return what libpq's environment variables say about the place; all else libpq reads from them by itself."""
    place = {"host", "hostaddr", "port", "user", "dbname"}
    found = {option.keyword.decode(): option.val for option in Conninfo.get_defaults()}
    return {key: value.decode() for key, value in found.items() if key in place and value}


def without_environment() -> dict[str, str]:
    """Return what to say of a server of ours, so that libpq's environment variables, which are about others, do not count.

    A local socket takes none of it: ``PGHOSTADDR`` would lead elsewhere, the others keep from connecting.
    """
    about_others = {
        "hostaddr", "target_session_attrs", "require_auth", "channel_binding", "gssencmode", "sslmode", "sslnegotiation",
        "sslcertmode",
    }  # fmt: skip
    said = {
        option.keyword.decode()
        for option in Conninfo.get_defaults()
        if option.envvar is not None and option.envvar.decode() in os.environ
    }
    return {key: compiled_defaults()[key] or "" for key in sorted(about_others & said)}


def connect_arguments(url: URL) -> dict[str, Any]:
    """Return the arguments that SQLAlchemy would hand to the URL's driver."""
    try:
        _, arguments = url.get_dialect()().create_connect_args(url)
        return dict(arguments)
    except (NoSuchModuleError, ImportError):
        return {**url.query, **url.translate_connect_args(username="user")}


def libpq_names(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Translate a driver's arguments into libpq's; what libpq has no word for is left out."""
    given = dict(arguments)
    if "database" in given:  # asyncpg, pg8000, psycopg2
        given.setdefault("dbname", given.pop("database"))
    if isinstance(given.get("ssl"), str):  # asyncpg's word for sslmode
        given.setdefault("sslmode", given.pop("ssl"))
    if isinstance(given.get("unix_sock"), str):  # pg8000: the socket itself, not its folder
        given["host"], given["port"] = socket_parts(given["unix_sock"])
    return {key: _joined(value) for key, value in given.items() if value is not None}


def socket_parts(path: str) -> tuple[str, int]:
    """Return folder and port of a socket such as ``/run/postgresql/.s.PGSQL.5432``."""
    folder, _, name = path.rpartition("/")
    port = name.rpartition(".")[2]
    return folder or "/", int(port) if port.isdigit() else DEFAULT_PORT


def _joined(value: Any) -> str:
    return ",".join(str(one) for one in value) if isinstance(value, (list, tuple)) else str(value)

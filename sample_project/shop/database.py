"""Where is the shop's database, and how is it reached without SQLAlchemy."""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, make_url

ALEMBIC_INI = Path(__file__).parents[1] / "alembic.ini"


def database_url(url: str | None = None) -> URL:
    """Return the database to use: the one given, else ``DATABASE_URL``, else ``sqlalchemy.url`` of ``alembic.ini``.

    Hosting platforms hand out ``postgres://`` or ``postgresql://``; the driver here is always psycopg 3.
    """
    if not (url := url or os.environ.get("DATABASE_URL")):
        ini = configparser.ConfigParser({"here": str(ALEMBIC_INI.parent)})
        ini.read(ALEMBIC_INI, encoding="utf-8")
        url = ini.get("alembic", "sqlalchemy.url")
    return make_url(url).set(drivername="postgresql+psycopg")


def connect(url: URL, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a psycopg connection to what a SQLAlchemy URL names.

    :param options: further arguments of :func:`psycopg.connect`.
    """
    positional, named = url.get_dialect()().create_connect_args(url)
    return psycopg.connect(*positional, **{**named, **options})

"""What does a person mean by one side of a safe-diff?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from alembic.util import CommandError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from alembic_safe.errors import NextStep, WrongUsage

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from sqlalchemy.engine import URL

Kind = Literal["empty", "models", "files", "database", "url", "dump"]


@dataclass(frozen=True)
class Side:
    """One side, as a person named it.

    :param word: what they wrote; of a URL without its password.
    :param heads: for the files: the revisions.
    """

    kind: Kind
    word: str
    heads: tuple[str, ...] = ()
    url: str = ""


def kind_of(word: str) -> Kind:
    """Say what kind of side is meant; what is nothing else is a revision, whether or not there is one."""
    if word in ("empty", "models", "database"):
        return word  # type: ignore[return-value]
    if "://" in word:
        return "url"
    return "dump" if Path(word).is_file() else "files"


def read_side(word: str, script: ScriptDirectory) -> Side:
    """Say what is meant.

    :raises WrongUsage: when it is none of the things that can be compared.
    """
    kind = kind_of(word)
    if kind == "url":
        url = _url(word)
        return Side(kind, url.render_as_string(hide_password=True), url=url.render_as_string(hide_password=False))
    if kind != "files":
        return Side(kind, word)
    try:
        found = script.get_revisions("heads" if word in ("head", "heads") else word)
    except CommandError as error:
        # half a URL, or libpq's words, may hold a password
        shown = "what was typed" if re.search(r"@|pass", word, re.IGNORECASE) else word
        raise _no_side(f"{shown}: a revision or a file", "head") from error
    return Side(kind, word, tuple(revision.revision for revision in found if revision is not None))


def _url(word: str) -> URL:
    try:
        url = make_url(word.replace("postgres://", "postgresql://", 1))
    except ArgumentError as error:
        raise _no_side("a database URL", "postgresql://USER@HOST/DATABASE") from error
    if url.get_backend_name() != "postgresql":
        raise _no_side(
            f"a {url.get_backend_name()} database; what is compared is PostgreSQL", "postgresql://USER@HOST/DATABASE"
        )
    return url


def _no_side(what: str, example: str) -> WrongUsage:
    return WrongUsage(
        f"There is no such thing to compare ({what}).",
        detail=["A side is empty, models, head, a revision, database, a URL, or a file of pg_dump."],
        next_steps=[NextStep("for example", f"alembic safe-diff --from {example} --to models")],
    )

"""How does a database say that it is a shadow of ours, and whose?"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

TAG = "alembic-safe shadow "
"""How the comment on a database of ours begins; the rest is JSON."""
NAME = "alembic_safe_shadow_"
"""How the name of a shadow begins; nothing is concluded from a name alone."""
MARK = 24_077
"""The connection limit of a shadow. CREATE DATABASE and its comment are two transactions: a run that is killed between them
leaves a database that has such a name, this limit, and no comment yet."""


@dataclass(frozen=True)
class Tag:
    """What the comment on a database of ours says.

    :param kind: ``shadow``, which goes with its run, or ``template``, a replayed shadow that is kept to be copied.
    :param key: for a template: the hash of all that it was made from.
    :param facts: for a template: what its replay found, so that a copy of it knows, too.
    """

    kind: str
    pid: int
    host: str
    made_at: datetime
    key: str = ""
    facts: str = ""

    @classmethod
    def now(cls, kind: str = "shadow", key: str = "", facts: str = "") -> Tag:
        """Return a tag of this process."""
        return cls(kind, os.getpid(), socket.gethostname(), datetime.now(timezone.utc), key, facts)

    @classmethod
    def read(cls, comment: str) -> Tag | None:
        """Read a comment; ``None`` when it is not one that we wrote."""
        if not comment.startswith(TAG):
            return None
        try:
            said: dict[str, Any] = json.loads(comment[len(TAG) :])
            return cls(
                str(said["kind"]), int(said["pid"]), str(said["host"]), datetime.fromisoformat(said["made_at"]),
                str(said.get("key", "")), str(said.get("facts", "")),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            return None

    def comment(self) -> str:
        """Return the comment."""
        said = {"kind": self.kind, "pid": self.pid, "host": self.host, "made_at": self.made_at.isoformat()}
        return TAG + json.dumps(said | ({"key": self.key, "facts": self.facts} if self.key else {}))


@dataclass(frozen=True)
class Leftover:
    """A database of ours, as one look found it.

    :param alive: whether the run that made it still holds its lock, or somebody is connected to it.
    :param droppable: whether this role may drop it.
    """

    name: str
    tag: Tag
    alive: bool
    droppable: bool

"""How shadows, and what was dropped of them, are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic_safe.reporting.text import count, moment, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic_safe.database.shadow_leftovers import ServerLeftovers
    from alembic_safe.database.shadow_tag import Leftover


def print_shadows(servers: Sequence[ServerLeftovers]) -> None:
    """Print the shadows of each server."""
    for server in servers:
        say("Server", server.server)
        if server.problem:
            say("", f"could not be looked at: {server.problem}")
        for one in server.found:
            say("", f"{one.name}\n  {_what(one)}")
        if server.stopped:
            say("", "is stopped: nobody uses it")
        elif not server.found and not server.problem:
            say("", "no shadow")
    print("Nothing was changed.")


def print_pruned(servers: Sequence[ServerLeftovers]) -> None:
    """Print what was dropped on each server."""
    dropped = 0
    for server in servers:
        say("Server", server.server)
        if server.problem:
            say("", f"could not be looked at: {server.problem}")
        for one in server.found:
            say("", f"dropped {one.name}\n  {_what(one)}")
        if server.removed:
            say("", "removed, with everything in it; the next shadow that needs it makes a new one")
        dropped += len(server.found)
    done = f"{count(dropped, 'shadow')} dropped" if dropped else "There was no shadow to drop"
    print(f"{done}; no other database was touched.")


def shadow_json(server: ServerLeftovers) -> dict[str, Any]:
    """Return what was found on one server for a machine."""
    return {
        "rung": server.rung, "server": server.server, "problem": server.problem or None, "removed": server.removed,
        "stopped": server.stopped,
        "shadows": [
            {
                "name": one.name, "kind": one.tag.kind, "alive": one.alive, "pid": one.tag.pid, "host": one.tag.host,
                "made_at": one.tag.made_at.isoformat(),
            }
            for one in server.found
        ],
    }  # fmt: skip


def _what(one: Leftover) -> str:
    made = f"made {moment(one.tag.made_at)} by process {one.tag.pid} on {one.tag.host}"
    if one.tag.kind == "template":
        return f"{made}; kept to copy from"
    return f"{made}; {'in use' if one.alive else 'its run is gone'}"

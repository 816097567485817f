"""How the call of an operation of ours is written into a revision file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import _alembic_autogenerate_prefix, _ident

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.autogenerate.api import AutogenContext


def call(
    autogen_context: AutogenContext, verb: str, positional: Sequence[str], named: Mapping[str, Any], schema: str | None
) -> str:
    """Return ``op.verb(...)``.

    :param positional: arguments that are Python already.
    :param named: further ones by their values; those that are ``None`` or ``False`` are left out.
    """
    words = [
        *positional,
        *(f"{name}={value!r}" for name, value in named.items() if value is not None and value is not False),
    ]
    if schema:
        words.append(f"schema={_ident(schema)!r}")
    return f"{_alembic_autogenerate_prefix(autogen_context)}{verb}({', '.join(words)})"


def name_of(name: str) -> str:
    """Return a name as Python, whatever string class SQLAlchemy made of it."""
    return repr(_ident(name))


def one_or_more(names: Sequence[str]) -> str:
    """Return a single name as a string, several as a tuple."""
    plain = tuple(str(name) for name in names)
    return repr(plain[0]) if len(plain) == 1 else repr(plain)


def renamed_call(text: str, verb: str, new: str) -> str:
    """Return a call that Alembic rendered under the name of an operation of ours.

    :param text: it begins with the prefix and the verb.
    """
    return text.replace(f"{verb}(", f"{new}(", 1)


def several(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of an argument that takes one or more."""
    return (value,) if isinstance(value, str) else tuple(value)


def several_or_none(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return what :func:`several` does, and ``None`` for nothing said."""
    return None if value is None else several(value)

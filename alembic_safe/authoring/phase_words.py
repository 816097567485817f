"""What do the files of a change say to a reviewer: message, docstring, and which application may run when?"""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from alembic_safe.authoring.recipes.records import Words
    from alembic_safe.inspecting.settles import Settle

_WIDEST = 96
_MOST = 8
_LONGEST_SLUG = 40
_DONE = ("Adds", "Renames", "Changes", "Retires", "Drops", "Runs")

_WHO = {
    "expand": "The application of today goes on running. Deploy the new one when the copy is through.",
    "copy": "The application of today goes on running, and from its end on the new one may run as well.",
    "contract": (
        "Only the new application may run from here on. Until then this file is parked: alembic safe-contract brings it"
        " into the chain, in a later release."
    ),
}  # fmt: skip
_ALONE = "Runs beside the application of today and beside the new one."
_NOTHING_YET = "Nothing is done in the database yet: from here on no new code may need what the contract takes away."


def body_of(phase: str, words: Words, *, is_alone: bool, is_empty: bool) -> str:
    """Return what stands in a docstring behind the message.

    :param is_alone: whether the change has neither copy nor contract; of what stands in front of phases, whether it only
        adds something.
    :param is_empty: whether the revision does nothing.
    """
    sentences: list[str] = list(getattr(words, phase) if phase else (*words.done, *words.ordinary))
    paragraphs = ["\n".join(map(wrapped, sentences))] if sentences else []
    if is_empty:
        paragraphs.append(wrapped(_NOTHING_YET))
    if phase or is_alone:
        paragraphs.append(wrapped(_ALONE if is_alone else _WHO[phase]))
    return "\n\n".join(paragraphs)


def what_is_done(done: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return a sentence for each kind of change, in the order in which a reader asks: what comes, what goes.

    :param done: what is done, and to what, such as ``("Adds", "users.age")``.
    """
    every = tuple(dict.fromkeys(done))
    names = {verb: [name for one, name in every if one == verb] for verb in _DONE}
    return tuple(f"{verb} {_listed(found)}." for verb, found in names.items() if found)


def _listed(words: Sequence[str]) -> str:
    if len(words) > _MOST:
        return f"{', '.join(words[:_MOST])} and {len(words) - _MOST} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def contract_words(settles: Iterable[Settle], default_schema: str) -> tuple[str, ...]:
    """Return what a contract does, from the lines that it is written from."""
    settles = tuple(settles)
    swapped = [_shown(line, default_schema) for line in settles if line.verb == "swap_columns"]
    said = [
        sentence for line in settles for sentence in _contract_words(line, default_schema) if "goes_with" not in line.rest
    ]  # fmt: skip
    if swapped:
        said.append(prepared_once(swapped))
    return tuple(said)


def prepared_once(columns: Iterable[str]) -> str:
    """Return what must be known of columns that are of another type under the same name."""
    return (
        f"A connection that has prepared a statement over {', '.join(columns)} fails in it once, as its type is another"
        " one: psycopg with prepare_threshold=None and asyncpg with statement_cache_size=0 prepare none."
    )


def _shown(line: Settle, default_schema: str) -> str:
    table = line.table if line.schema == default_schema else f"{line.schema}.{line.table}"
    return f"{table}.{line.name}" if line.name else table


def _contract_words(line: Settle, default_schema: str) -> tuple[str, ...]:
    rest = line.facts
    table, shown = _shown(replace(line, name=""), default_schema), _shown(line, default_schema)
    kept = "kept in schema alembic_safe_retired"
    if line.verb == "retire_column" and "replaced_by" in rest:
        return (f"Ends {shown}: what {rest['replaced_by']} does not say is {kept}.",)
    if line.verb == "retire_column" and "reshaped" in rest:
        new = rest["reshaped"]["new"]
        return (f"Ends {shown}: what {' and '.join(new)} {'does' if len(new) == 1 else 'do'} not say is {kept}.",)
    if line.verb == "retire_column" and "moved" in rest:
        return (f"Ends {shown}, whose values {rest['moved']['table']} has: they are {kept}.",)
    if line.verb == "swap_enum":
        return (
            f"{rest['new']} takes the name {table}, and each of its columns the name of the old one, in one moment.",
        )
    if line.verb == "swap_columns":
        taken = f"{table}.{rest['new']} takes the name {line.name}, under one short lock; the old values are {kept}."
        key = (f"The primary key {rest['primary_key']} goes with it.",) if rest.get("primary_key") else ()
        return (taken, *key)
    if line.verb == "set_not_null":
        filled = f"Rows without {shown} get {rest['fill']}. " if rest.get("fill") else ""
        return (f"{filled}Makes {shown} NOT NULL, without a scan under its lock; it stops where a row holds NULL.",)
    if line.verb == "drop_constraint" and rest.get("new"):
        return (f"{rest['new']} takes the place of {line.name}, under one short lock.",)
    if line.verb == "drop_constraint":
        guarded = rest.get("guarded")
        return (f"Takes {line.name} away." + (f" Nothing guards afterwards that {guarded}." if guarded else ""),)
    sentence = {
        "retire_column": f"Retires {shown}: its values are {kept}.", "retire_table": f"Retires {shown}: its rows are {kept}.",
        "drop_column": f"Takes {shown} away, which holds nothing of its own.", "drop_index": f"Takes {line.name} away.",
        "drop_type": f"Takes the enum {table} away{', where nothing else needs it' if rest.get('if_unused') else ''}.",
        "drop_default": f"Takes the default from {shown}.", "finish": f"Brings {shown} to its end: nothing needs it any more.",
    }.get(line.verb)  # fmt: skip
    return (sentence,) if sentence else ()


def message_of(phase: str, message: str, *, is_alone: bool) -> str:
    """Return the message of one file of a change."""
    return message if not phase or is_alone else f"{phase}: {message}"


def slug_of(message: str, taken: Collection[str]) -> str:
    """Return a name for a change that no other change has."""
    words = re.findall(r"[a-z0-9]+", message.lower())
    slug = "-".join(words)
    if len(slug) > _LONGEST_SLUG:
        slug = slug[:_LONGEST_SLUG].rpartition("-")[0] or slug[:_LONGEST_SLUG]
    slug = slug or "change"
    number, found = 1, slug
    while found in taken:
        number += 1
        found = f"{slug}-{number}"
    return found


def identifiers(phase: str, change: str, settles: Iterable[Settle]) -> str:
    """Return the lines of Python that say what a file is."""
    lines = [f"phase = {phase!r}", f"change = {change!r}"]
    if phase in {"expand", "contract"}:
        said = [f"    {str(one)!r}," for one in settles]
        lines.append("\n".join(["settles = (", *said, ")"]) if said else "settles = ()")
    return "\n".join(lines)


def wrapped(paragraph: str) -> str:
    """Return a paragraph as it stands in a docstring, in lines of no more than a screen."""
    return textwrap.fill(paragraph, _WIDEST, break_long_words=False, break_on_hyphens=False)

"""Which pieces do the catalog's queries share?"""

from __future__ import annotations

from typing import NamedTuple

# Every query returns rows of the same shape: kind, schema, name, parent, and the attributes as JSON text, which every
# driver hands over alike. What is NULL or false is dropped on this side: an absent attribute has its default value.
#
# The measure is pg_dump, so its rules hold here: what initdb made (oids below 16384) and what an extension brought is
# nobody's; what goes with something else (row types, array types, clones of constraints on partitions) is not listed.

FIRST_USER_OID = 16384
"""PostgreSQL's FirstNormalObjectId: the objects below came with initdb."""

ALWAYS = ""
"""Of a part that most databases have something of."""


class Part(NamedTuple):
    """What reads one kind of object, and when it has to: most kinds are in few databases, and planning takes its time.

    :param source: what has a row wherever the query has one, to stand behind FROM; ``ALWAYS``: nobody asks.
    :param sql: the query.
    """

    source: str
    sql: str


def made_in(class_: str, condition: str = "true", *, oid: str = "oid") -> str:
    """Return the source that has a row for what was made after initdb.

    :param class_: the system catalog; :param condition: of its rows; :param oid: its column that tells when they were made.
    """
    return f"{class_} WHERE {oid} >= {FIRST_USER_OID} AND {condition}"


LETTERS = {"schema": "n", "table": "r", "column": "c", "sequence": "s", "routine": "f", "type": "T", "language": "l",
           "foreign-data wrapper": "F", "server": "S"}  # fmt: skip
"""What acldefault() calls the kinds."""


def comment(class_: str, oid: str, sub: str = "0") -> str:
    """Return the pair of JSON arguments for an object's comment.

    :param class_: its system catalog; :param oid: the expression for its oid; :param sub: that for its column number.
    """
    return (
        f"'comment', (SELECT said.description FROM pg_description said WHERE said.objoid = {oid}"
        f" AND said.classoid = '{class_}'::regclass AND said.objsubid = {sub})"
    )


def owner(expression: str) -> str:
    """Return the pair of JSON arguments for an object's owner."""
    return f"'owner', pg_get_userbyid({expression})"


def grants(acl: str, kind: str, owned_by: str) -> str:
    """Return the JSON arguments for who may what, for the rights where nobody said anything, and for the owner."""
    default = f"acldefault('{LETTERS[kind]}', {owned_by})"
    return (
        f"'grants', CAST({acl} AS text[]), 'default_grants', CASE WHEN {acl} IS NOT NULL THEN CAST({default} AS text[]) END,"
        f" 'grants_owner', CASE WHEN {acl} IS NOT NULL THEN pg_get_userbyid({owned_by}) END"
    )


def from_outside(class_: str, oid: str) -> str:
    """Return the condition that nobody but a person made the object: neither initdb nor an extension."""
    return (
        f"({oid} >= {FIRST_USER_OID} AND NOT EXISTS (SELECT FROM pg_depend brought WHERE brought.classid = '{class_}'::regclass"
        f" AND brought.objid = {oid} AND brought.deptype = 'e'))"
    )


def namespace(expression: str, alias: str = "n") -> str:
    """Return the join with the object's schema; what lies in hidden schemas falls out."""
    return (
        f"JOIN pg_namespace {alias} ON {alias}.oid = {expression} AND {alias}.nspname <> ALL (CAST(:hidden AS text[]))"
    )


def ordered(array: str) -> str:
    """Return an array's elements in order: options are a set."""
    return f"CASE WHEN {array} IS NOT NULL THEN (SELECT json_agg(o ORDER BY o) FROM unnest({array}) o) END"


def tablespace(expression: str) -> str:
    """Return the pair of JSON arguments for the tablespace, where it is not the database's own."""
    return (
        f"'tablespace', CASE WHEN {expression} <> 0 THEN"
        f" (SELECT ts.spcname FROM pg_tablespace ts WHERE ts.oid = {expression}) END"
    )


def masked(options: str) -> str:
    """Return options of foreign data objects without their secrets: their names tell which are some.

    Whether a password was changed cannot be seen, then.
    """
    telling = "'pass|secret|token|key|credential'"
    return (
        f"CASE WHEN {options} IS NOT NULL THEN (SELECT json_agg("
        f"CASE WHEN split_part(o, '=', 1) ~* {telling} THEN split_part(o, '=', 1) || '=(hidden)' ELSE o END"
        f" ORDER BY o) FROM unnest({options}) o) END"
    )

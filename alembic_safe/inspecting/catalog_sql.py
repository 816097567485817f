"""Which pieces do the catalog's queries share?"""

from __future__ import annotations

# Every query returns rows of the same shape: kind, schema, name, parent, and the attributes as JSON text, which every
# driver hands over alike. What is NULL or false is dropped on this side: an absent attribute has its default value.
#
# The measure is pg_dump, so its rules hold here: what initdb made (oids below 16384) and what an extension brought is
# nobody's; what goes with something else (row types, array types, clones of constraints on partitions) is not listed.

FIRST_USER_OID = 16384
"""PostgreSQL's FirstNormalObjectId: the objects below came with initdb."""

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
    """Return the JSON arguments for an object's rights, and for what they would be if nobody had said anything."""
    default = f"acldefault('{LETTERS[kind]}', {owned_by})"
    return (
        f"'grants', CASE WHEN {acl} IS NOT NULL THEN {_exploded(acl, owned_by)} END,"
        f" 'default_grants', CASE WHEN {acl} IS NOT NULL THEN {_exploded(default, owned_by)} END"
    )


def _exploded(acl: str, owned_by: str) -> str:
    # the owner has no name here: another owner is one difference, not one for each right as well
    return f"""(SELECT json_agg(held.entry ORDER BY held.entry) FROM (
      SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' WHEN a.grantee = {owned_by} THEN '@owner'
          ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        || CASE WHEN a.grantor = {owned_by} THEN '' ELSE ' by ' || quote_ident(pg_get_userbyid(a.grantor)) END
        || '=' || string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ','
             ORDER BY a.privilege_type) AS entry
      FROM aclexplode({acl}) a GROUP BY a.grantee, a.grantor) held)"""


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

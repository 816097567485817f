"""Who may do what with a relation, what is said of a sequence beside its numbers, and how does one made anew get it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic_safe.database.reads import rows_of
from alembic_safe.database.sql_words import verbatim
from alembic_safe.database.statements import literal
from alembic_safe.inspecting.retired import Dependant

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from alembic_safe.database.reads import Reads

# in the order in which they were given
_GRANTS = """
SELECT coalesce(r.rolname, 'PUBLIC') AS name, g.privilege_type || g.columns AS right, coalesce(quote_ident(r.rolname), 'PUBLIC')
  || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS to
FROM (SELECT x.grantee, x.privilege_type, x.is_grantable, '' AS columns, 0 AS attnum, x.n FROM pg_class c,
      aclexplode(c.relacl) WITH ORDINALITY x (grantor, grantee, privilege_type, is_grantable, n)
      WHERE c.oid = CAST(:oid AS oid) AND x.grantee <> c.relowner
      UNION ALL SELECT x.grantee, x.privilege_type, x.is_grantable, format(' (%I)', a.attname), a.attnum, x.n FROM pg_class c,
      pg_attribute a, aclexplode(a.attacl) WITH ORDINALITY x (grantor, grantee, privilege_type, is_grantable, n)
      WHERE c.oid = CAST(:oid AS oid) AND a.attrelid = c.oid AND NOT a.attisdropped) g
LEFT JOIN pg_roles r ON r.oid = g.grantee ORDER BY g.attnum, g.n
"""
# an identity is as lasting as its table, unless somebody said otherwise of its sequence
_OF_SEQUENCE = """
SELECT quote_literal(obj_description(c.oid, 'pg_class')) AS comment, c.relpersistence = 'u' AS unlogged,
  EXISTS (SELECT FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid WHERE d.classid = 'pg_class'::regclass
    AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    AND t.relpersistence <> c.relpersistence) AS unlike_table
FROM pg_class c WHERE c.oid = CAST(:oid AS oid)
"""
_GRANTEES = """
SELECT DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid = to_regclass({name}) AND g.grantee <> c.relowner
"""


@dataclass(frozen=True)
class Grant:
    """A right that somebody else than the owner has.

    :param name: the role, or PUBLIC.
    :param right: with its columns, if it has any; ``to``: who has it, as GRANT says it.
    """

    name: str
    right: str
    to: str

    def on(self, what: str) -> str:
        """Return the statement that gives it on an object: ``SEQUENCE "s"."n"``."""
        return f"GRANT {self.right} ON {what} TO {self.to}"


@dataclass(frozen=True)
class SaidOfSequence:
    """What is said of a sequence beside its numbers.

    :param comment: as SQL; empty where there is none.
    :param unlogged: whether a crash empties it; ``unlike_table``: whether its table is otherwise.
    """

    grants: tuple[Grant, ...] = ()
    comment: str = ""
    unlogged: bool = False
    unlike_table: bool = False

    def dependants(self, sequence: str) -> list[Dependant]:
        """Return what gives it to one that was made anew; nothing where nothing is said.

        :param sequence: its name, quoted and qualified.
        """
        found = [Dependant("grant", grant.name, grant.on(f"SEQUENCE {sequence}")) for grant in self.grants]
        if self.comment:
            found.append(Dependant("comment", sequence, f"COMMENT ON SEQUENCE {sequence} IS {self.comment}"))
        return found

    def statements(self, sequence: str, *, lasting: bool = True) -> list[str]:
        """Return what lets this be said of a sequence that was just made, and nothing else, to be run as it is.

        :param lasting: whether it was made with its identity, and so is as lasting as its table.
        """
        kind = "UNLOGGED" if self.unlogged else "LOGGED"
        return [
            *([f"ALTER SEQUENCE {sequence} SET {kind}"] if lasting and self.unlike_table else []),
            without_default_rights("SEQUENCE", sequence),
            *(verbatim(one.make) for one in self.dependants(sequence)),
        ]


def grants_of(source: Connection | Reads, oid: int) -> tuple[Grant, ...]:
    """Return what others than the owner may do with a table, a view or a sequence."""
    return tuple(Grant(row["name"], row["right"], row["to"]) for row in rows_of(source, _GRANTS, {"oid": oid}))


def said_of_sequence(source: Connection | Reads, oid: int) -> SaidOfSequence:
    """Return what is said of a sequence."""
    rows = rows_of(source, _OF_SEQUENCE, {"oid": oid})
    if not rows:  # it went in this moment
        return SaidOfSequence()
    return SaidOfSequence(
        grants_of(source, oid), rows[0]["comment"] or "", rows[0]["unlogged"], rows[0]["unlike_table"]
    )


def owned_again(what: str, owner: str) -> str:
    """Return the statement that gives an object its owner of before, where who makes it again may.

    :param what: the object, as ALTER names it: ``STATISTICS "s"."n"``; ``owner``: a role, quoted.
    """
    alter = f"ALTER {what} OWNER TO {owner}"
    return f"DO {literal(f'BEGIN {alter}; EXCEPTION WHEN insufficient_privilege OR undefined_object THEN NULL; END')}"


def without_default_rights(kind: str, name: str) -> str:
    """Return the statement that takes away what default privileges gave on an object that was just made.

    It finds them by itself, so that it can be sent together with what makes the object.

    :param kind: as REVOKE names it, such as ``SEQUENCE``; empty for a table or a view.
    :param name: quoted and qualified.
    """
    revoke = f"REVOKE ALL ON {f'{kind} ' if kind else ''}{name} FROM "
    body = (
        f"DECLARE grantee text; BEGIN FOR grantee IN {' '.join(_GRANTEES.split()).format(name=literal(name))}"
        f" LOOP EXECUTE {literal(revoke)} || grantee || ' CASCADE'; END LOOP; END"
    )
    return f"DO {literal(body)}"

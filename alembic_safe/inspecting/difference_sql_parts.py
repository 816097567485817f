"""Which SQL makes constraints, indexes, sequences, triggers, rules and policies, and gives them back an attribute?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.statements import quoted
from alembic_safe.inspecting.difference_sql_names import address, name_of, options_sql, parent_of
from alembic_safe.inspecting.difference_sql_tables import STATES, CannotSay, sequence_clauses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic_safe.inspecting.catalog_records import Catalog, ObjectId, Value

    Attributes = Mapping[str, Value]

REMADE = "remade"
"""What the answer for an attribute is when only dropping and making anew can give it back."""

_ON_INDEX = frozenset({"index_options", "tablespace", "clustered", "replica_identity", "statistics", "attached_to"})


def constraint_sql(constraint: ObjectId, attributes: Attributes) -> str:
    """Return the statement that adds a constraint to its table or domain."""
    word = "DOMAIN" if constraint.kind == "domain constraint" else "TABLE"
    sql = f"ALTER {word} {parent_of(constraint)} ADD CONSTRAINT {quoted(constraint.name)} {attributes['definition']}"
    if "deferrable" in attributes:
        state = str(attributes["deferrable"])
        sql += " DEFERRABLE INITIALLY DEFERRED" if state.startswith("INITIALLY") else " DEFERRABLE"
    if attributes.get("not_enforced"):
        return sql + " NOT ENFORCED"
    return sql + (" NOT VALID" if attributes.get("not_valid") else "")


def drop_constraint_sql(constraint: ObjectId) -> str:
    """Return the statement that takes a constraint from its table or domain."""
    word = "DOMAIN" if constraint.kind == "domain constraint" else "TABLE"
    return f"ALTER {word} {parent_of(constraint)} DROP CONSTRAINT {quoted(constraint.name)}"


def constraint_attribute(constraint: ObjectId, what: str, left: Attributes, right: Attributes) -> Iterator[str]:
    """Yield the statements that give a constraint back one attribute, or :data:`REMADE`.

    :raises CannotSay: when none can.
    """
    word = "DOMAIN" if constraint.kind == "domain constraint" else "TABLE"
    alter = f"ALTER {word} {parent_of(constraint)}"
    is_foreign_key = left.get("sort") == "f"
    match what:
        case "inherited":
            raise CannotSay("whether a constraint is inherited follows from what its table inherits")
        case "index_comment":
            text = left.get(what)
            said = "'" + str(text).replace("'", "''") + "'" if text is not None else "NULL"
            yield f"COMMENT ON INDEX {quoted(constraint.schema, constraint.name)} IS {said}"
        case "not_valid" if not left.get(what):
            yield f"{alter} VALIDATE CONSTRAINT {quoted(constraint.name)}"
        case "not_enforced" if is_foreign_key:
            yield f"{alter} ALTER CONSTRAINT {quoted(constraint.name)} {'NOT ' if left.get(what) else ''}ENFORCED"
        case "deferrable" if is_foreign_key:
            state = str(left.get(what, "NOT DEFERRABLE"))
            state = "DEFERRABLE INITIALLY IMMEDIATE" if state == "DEFERRABLE" else state
            yield f"{alter} ALTER CONSTRAINT {quoted(constraint.name)} {state}"
        case _ if what in _ON_INDEX:
            yield from index_attribute(constraint, what, left, right)
        case _:
            yield REMADE


def index_attribute(index: ObjectId, what: str, left: Attributes, right: Attributes) -> Iterator[str]:  # noqa: C901 - one case for each kind or attribute
    """Yield the statements that give an index, or the index of a constraint, back one attribute, or :data:`REMADE`.

    :raises CannotSay: when none can.
    """
    name = quoted(index.schema, index.name)
    table = f"ALTER TABLE {parent_of(index)}"
    value = left.get(what)
    match what:
        case "index_options":
            yield from (f"ALTER INDEX {name} {clause}" for clause in options_sql(value, right.get(what)))
        case "tablespace":
            yield f"ALTER INDEX {name} SET TABLESPACE {quoted(str(value or 'pg_default'))}"
        case "clustered":
            yield f"{table} CLUSTER ON {quoted(index.name)}" if value else f"{table} SET WITHOUT CLUSTER"
        case "replica_identity":
            yield f"{table} REPLICA IDENTITY " + (f"USING INDEX {quoted(index.name)}" if value else "DEFAULT")
        case "statistics":
            wanted, held = _numbers(value), _numbers(right.get(what))
            for column in sorted(wanted.keys() | held.keys()):
                if wanted.get(column) != held.get(column):
                    yield f"ALTER INDEX {name} ALTER COLUMN {column} SET STATISTICS {wanted.get(column, '-1')}"
        case "attached_to" if value:
            yield f"ALTER INDEX {value} ATTACH PARTITION {name}"
        case "attached_to":
            raise CannotSay("PostgreSQL cannot detach the index of a partition by itself")
        case "invalid" if value:
            raise CannotSay("an index is made invalid by a failure only")
        case "invalid":
            yield f"REINDEX INDEX {name}"
        case _:
            yield REMADE


def sequence_sql(sequence: ObjectId, attributes: Attributes) -> str:
    """Return the statement that makes a sequence; its owner column comes later, with the table."""
    unlogged = "UNLOGGED " if attributes.get("unlogged") else ""
    return f"CREATE {unlogged}SEQUENCE {name_of(sequence)} AS {attributes['type']} {sequence_clauses(attributes)}"


def sequence_attribute(sequence: ObjectId, what: str, left: Attributes) -> Iterator[str]:
    """Yield the statements that give a sequence back one attribute.

    :raises CannotSay: when none can.
    """
    alter = f"ALTER SEQUENCE {name_of(sequence)}"
    match what:
        case "unlogged":
            yield f"{alter} SET {'UNLOGGED' if left.get(what) else 'LOGGED'}"
        case "owned_by":
            yield f"{alter} OWNED BY {left.get(what, 'NONE')}"
        case "type":
            yield f"{alter} AS {left['type']} MINVALUE {left['minimum']} MAXVALUE {left['maximum']}"
        case "identity_of":
            raise CannotSay("the sequence of an identity column stays with it")
        case _:
            yield f"{alter} {sequence_clauses(left)}"


def attached_sql(catalog: Catalog, id_: ObjectId, attributes: Attributes) -> Iterator[str]:
    """Yield the statements that make a trigger, a rule or a policy."""
    if id_.kind != "policy":
        yield str(attributes["definition"]).rstrip(";")
        if "enabled" in attributes:
            yield enabled_sql(catalog, id_, attributes)
        return
    sql = f"CREATE {address(id_)} AS {'RESTRICTIVE' if attributes.get('restrictive') else 'PERMISSIVE'}"
    roles = attributes["roles"]
    sql += f" FOR {attributes['command']} TO {', '.join(roles) if isinstance(roles, tuple) else roles}"
    if "using" in attributes:
        sql += f" USING ({attributes['using']})"
    if "check" in attributes:
        sql += f" WITH CHECK ({attributes['check']})"
    yield sql


def enabled_sql(catalog: Catalog, id_: ObjectId, left: Attributes) -> str:
    """Return the statement that says when a trigger or a rule fires."""
    word = "RULE" if id_.kind == "rule" else "TRIGGER"
    state = left.get("enabled")
    if id_.kind == "partition trigger" and state is None:
        state = _parents_state(catalog, id_)
    return f"ALTER TABLE {parent_of(id_)} {STATES[state if state is None else str(state)]} {word} {quoted(id_.name)}"


def _parents_state(catalog: Catalog, id_: ObjectId) -> Value | None:
    """Return how the trigger of the partitioned table, of which this one is a clone, is switched."""
    table = id_._replace(kind="table", name=id_.parent, parent="")
    above = catalog.objects.get(table, {}).get("inherits", ())
    for trigger, attributes in catalog.objects.items():
        if trigger.kind == "trigger" and trigger.name == id_.name and isinstance(above, tuple):
            name = parent_of(trigger)
            if name in above or name.replace('"', "") in above:
                return attributes.get("enabled")
    return None


def _numbers(value: Value | None) -> dict[str, str]:
    if not isinstance(value, tuple):
        return {}
    return {column: target for column, _, target in (entry.partition("=") for entry in value)}

"""What do the rows that were kept say to the models, when their column or table comes back?"""

# They come back as they were. Where the models want another type by now, or a value in every row, a person has to hear
# of it first: what a conversion changes is changed for good.
from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.authoring.push_finding import Finding
from alembic_safe.authoring.push_plan import shown, type_word
from alembic_safe.database.statements import quoted, run
from alembic_safe.inspecting.retired import newest
from alembic_safe.operations.kept import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.authoring.push_findings import Findings
    from alembic_safe.inspecting.catalog_records import ObjectId
    from alembic_safe.inspecting.retired import Retired

_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
WHERE a.attrelid = CAST(:oid AS oid) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""


def returning(findings: Findings, id_: ObjectId) -> Retired | None:
    """Return what is kept of a column or a table that comes; nothing of one that is computed from its row."""
    if id_.kind == "table":
        return newest(findings.retired, id_.schema, id_.name)
    if "generated" in findings.plan.models.objects[id_]:
        return None
    return newest(findings.retired, id_.schema, id_.parent, id_.name)


def of_table(findings: Findings, table: ObjectId, kept: Retired) -> Iterator[Finding]:
    """Yield what the rows of a table that comes back say to its columns."""
    was = {row["name"]: row["type"] for row in run(findings.connection, _COLUMNS, {"oid": kept.oid})}
    record = kept.record
    # a type of somebody's own stands there as text, and comes back first
    as_text = {d.name for d in record.dependants if d.kind == "type"} if record is not None else set()
    for id_ in findings.plan.models.parts(table):
        wanted = findings.plan.models.objects[id_]
        if id_.kind != "column" or "generated" in wanted:
            continue
        if id_.name not in was:
            # a column that was retired before its table went finds its own values
            yield from findings.not_null(id_, comes=returning(findings, id_) is None)
            continue
        if id_.name not in as_text and was[id_.name] != wanted["type"]:
            yield from findings.cast(id_, was[id_.name], str(wanted["type"]))
        yield from findings.not_null(id_, comes=False)


def of_column(findings: Findings, id_: ObjectId, kept: Retired) -> Iterator[Finding]:
    """Yield what the kept values of a column say to its type."""
    record = kept.record
    wanted = str(findings.plan.models.objects[id_]["type"])
    if record is None or not record.rows or not record.key or record.type == wanted:
        return
    valid = f"pg_input_is_valid(x.value, '{wanted.replace(chr(39), chr(39) * 2)}')"
    rows = findings.ask(f"SELECT count(*) AS it FROM {kept.quoted} AS x WHERE NOT {valid}")  # from PostgreSQL 16 on
    if not rows or not rows[0]["it"]:
        return
    name = shown(id_, findings.default)
    examples = findings.examples(f"{kept.quoted} AS x", f"NOT {valid}", "x.value")
    text = f"{rows[0]['it']:,} of the {record.rows:,} values that are kept of {name} do not convert from"
    text += f" {type_word(record.type)} to {type_word(wanted)}, such as {', '.join(examples)}; with your consent it comes back"
    text += " empty, and they stay kept"
    yield Finding("restore-empty", name, id_, rows[0]["it"], record.rows, text, examples)


def rows_without(kept: Retired) -> str:
    """Return the condition on rows ``x`` that get no value back."""
    record = kept.record
    if record is None or not record.key:
        return "true"
    same = " AND ".join(f"k.key_{n} = ({text_of('x.' + quoted(name))})" for n, (name, _) in enumerate(record.key, 1))
    return f"NOT EXISTS (SELECT FROM {kept.quoted} AS k WHERE {same} AND k.value IS NOT NULL)"

"""Which hazards come with enums and domains?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import ANYWHERE, Example, Hazard, Hit, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENUM = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE moods (id int PRIMARY KEY, mood mood);"
_DOMAIN = "CREATE DOMAIN zip AS text; CREATE TABLE homes (id int PRIMARY KEY, zip zip);"


def _renamed(scene: Scene) -> Iterator[Hit]:
    for number, _, change in scene.revision.changes("enum value", "changed", "name"):
        if change.before[1] != change.after[1]:
            type_ = change.before[0].removeprefix("public.")
            yield Hit(
                change.name, number,
                f"it is '{change.after[1]}' from then on: programs that write '{change.before[1]}' fail, and those that"
                " read meet"
                " a label they do not know",
                "danger", {"type": type_, "new": change.after[1]},
            )  # fmt: skip


def _order(scene: Scene) -> Iterator[Hit]:
    made = {change.name for _, _, change in scene.revision.changes("type", "added")}
    last: dict[str, float] = {}
    for number, statement, change in scene.revision.changes("enum value", "added"):
        type_ = change.after[0].removeprefix("public.")
        if type_ in made:
            continue
        last[type_] = max(last.get(type_, 0.0), float(change.after[2]))
        if " BEFORE " not in statement.short.upper() and " AFTER " not in statement.short.upper():
            yield Hit(
                change.name, number, "it sorts behind all others, which nobody has said", "advice", {"type": type_}
            )


def _used_at_once(scene: Scene) -> Iterator[Hit]:
    if "unsafe use of new value" in scene.revision.failed:
        yield Hit(
            scene.revision.revision, len(scene.revision.statements) - 1,
            "a new label cannot be used before it is committed (55P04): the revision fails", "danger",
            fails=True,
        )  # fmt: skip


def _gone(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in scene.revision.changes("type", "gone"):
        if change.before[1] not in {"e", "d"}:
            continue
        lost = [
            c.object
            for c in statement.changes
            if c.kind == "column" and c.action == "gone" and c.relation and not c.relation.new
        ]
        if lost:
            yield Hit(
                change.name, number, f"CASCADE takes {', '.join(lost)} along, with the values in it", "danger",
                {"type": change.name},
            )  # fmt: skip


def _checked(scene: Scene) -> Iterator[Hit]:
    for number, statement, change in scene.revision.changes("domain constraint", "added"):
        for relation in statement.scans:
            severity = scene.by_size(relation)
            if severity:
                yield Hit(
                    change.name, number, f"{scene.about(relation)} is read from end to end; meanwhile nobody writes"
                                         " it", severity,
                    {"type": change.after[0].removeprefix("public."), "name": change.after[1], "table": str(relation)},
                )  # fmt: skip


TYPES = (
    Hazard(
        "rename-enum-value", "A label of an enum is renamed", "breaks",
        "The rows change with it at once: programs that write the old label fail, programs that read meet one they do not"
        " know.",
        "a new label beside the old one, the rows moved in batches, the old one left unused:\n"
        "op.execute(\"ALTER TYPE $type ADD VALUE '$new'\")",
        _renamed, Example("op.execute(\"ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'\")",
                          ("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",)),
        Example("op.execute(\"ALTER TYPE mood ADD VALUE 'fine' AFTER 'ok'\")",
                ("ALTER TYPE mood ADD VALUE 'fine' AFTER 'ok'",)),
        setup=_ENUM, rows=(64,),
    ),
    Hazard(
        "enum-value-order", "A label without BEFORE or AFTER", "advice",
        "It sorts last, whatever it means; nobody can move it later.", "say where: ADD VALUE '...' AFTER '...'", _order,
        Example("op.execute(\"ALTER TYPE mood ADD VALUE 'fine'\")", ("ALTER TYPE mood ADD VALUE 'fine'",)),
        Example("op.execute(\"ALTER TYPE mood ADD VALUE 'fine' AFTER 'ok'\")",
                ("ALTER TYPE mood ADD VALUE 'fine' AFTER 'ok'",)),
        setup=_ENUM, rows=(63,),
    ),
    Hazard(
        "enum-value-used-at-once", "A new label is used in the transaction that adds it", "fails",
        "PostgreSQL refuses it: a label is safe to use when it is committed.",
        "add the label in a revision of its own", _used_at_once,
        Example("op.execute(\"ALTER TYPE mood ADD VALUE 'fine'\")\n"
                "op.execute(\"ALTER TABLE moods ALTER COLUMN mood SET DEFAULT 'fine'\")",
                ("ALTER TYPE mood ADD VALUE 'fine'", "ALTER TABLE moods ALTER COLUMN mood SET DEFAULT 'fine'")),
        Example("op.execute(\"ALTER TYPE mood ADD VALUE 'fine'\")", ("ALTER TYPE mood ADD VALUE 'fine'",)),
        setup=_ENUM, rows=(62,), no_consent=ANYWHERE,
    ),
    Hazard(
        "drop-type-cascade", "A type goes, and columns of it go along", "loses",
        "DROP TYPE ... CASCADE takes every column of that type, with its values, and says so only in a notice.",
        "change the columns to another type first, then let the type go without CASCADE", _gone,
        Example('op.execute("DROP TYPE mood CASCADE")', ("DROP TYPE mood CASCADE",)),
        Example('op.execute("CREATE TYPE other AS ENUM (\'a\')")', ("CREATE TYPE other AS ENUM ('a')",)),
        setup=_ENUM, rows=(65,),
    ),
    Hazard(
        "domain-check", "A check is added to a domain in use", "blocks",
        "Every table with a column of the domain is locked against writes and read from end to end.",
        'NOT VALID, and validated in the next revision:\nop.execute("ALTER DOMAIN $type VALIDATE CONSTRAINT $name")', _checked,
        Example('op.execute("ALTER DOMAIN zip ADD CONSTRAINT zip_five CHECK (length(VALUE) = 5)")',
                ("ALTER DOMAIN zip ADD CONSTRAINT zip_five CHECK (length(VALUE) = 5)",)),
        Example('op.execute("ALTER DOMAIN zip ADD CONSTRAINT zip_five CHECK (length(VALUE) = 5) NOT VALID")',
                ("ALTER DOMAIN zip ADD CONSTRAINT zip_five CHECK (length(VALUE) = 5) NOT VALID",)),
        setup=_DOMAIN, rows=(41,),
    ),
)  # fmt: skip

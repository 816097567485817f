"""How is it seen that a table, a view or a schema goes, is locked or written anew?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.inspecting.hazard import SEVERITIES, Hit, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.hazard import Scene
    from alembic_safe.inspecting.trace import Change, Relation, Statement

_RETIRED = "alembic_safe_retired"


def _tables(
    scene: Scene, action: str, what: str = "", kind: str = "table"
) -> Iterator[tuple[int, Statement, Change, Relation]]:
    for number, statement, change in scene.revision.changes(kind, action, what):
        if change.relation is not None and not change.relation.new:
            yield number, statement, change, change.relation


def drop(scene: Scene) -> Iterator[Hit]:
    """Yield the tables that go, with what is lost."""
    for number, _, _change, relation in _tables(scene, "gone"):
        severity = scene.by_rows(relation)
        if severity and relation.schema != _RETIRED:
            facts = scene.live.facts(relation)
            used = (
                f"; it is used by {', '.join(facts.dependants[:3])}" if facts is not None and facts.dependants else ""
            )
            yield Hit(
                str(relation), number,
                f"{scene.about(relation)}: its rows are lost, and every program that names it fails from then on{used}",
                severity, {"table": str(relation)},
            )  # fmt: skip


def drop_referring(scene: Scene) -> Iterator[Hit]:
    """Yield the tables that go and lock those they refer to."""
    for number, statement, change, relation in _tables(scene, "gone"):
        keys = [one for one in change.before.constraints.values() if one.type == "f"]
        others = sorted({
            str(lock.relation) for lock in statement.locks
            if lock.mode == "AccessExclusiveLock" and lock.relation != relation and lock.relation.kind == "table"
            and not lock.relation.new
        })  # fmt: skip
        if keys and others:
            yield Hit(
                str(relation), number, f"nobody reads or writes {', '.join(others)} either, until the transaction ends",
                scene.by_use(relation) or "info", {"table": str(relation), "name": keys[0].name, "other": others[0]},
            )  # fmt: skip


def rename(scene: Scene) -> Iterator[Hit]:
    """Yield the tables that get another name."""
    for number, _, change, relation in _tables(scene, "changed", "name"):
        severity = scene.by_rows(relation)
        if severity:
            yield Hit(
                str(relation), number, f"every program that says {change.before} fails from then on", severity,
                {"table": str(relation), "new": str(change.after)},
            )  # fmt: skip


def move(scene: Scene) -> Iterator[Hit]:
    """Yield the tables that get into another schema."""
    for number, _, change, relation in _tables(scene, "changed", "schema"):
        severity = scene.by_rows(relation)
        if severity and _RETIRED not in {change.after, change.before}:
            yield Hit(
                str(relation), number, f"it is {change.after}.{relation.name} from then on: programs that say {relation} fail",
                severity, {"table": str(relation), "new": f"{change.after}.{relation.name}"},
            )  # fmt: skip


def schema(scene: Scene) -> Iterator[Hit]:
    """Yield the schemas that go or get another name."""
    for number, statement, change in scene.revision.changes("schema"):
        if change.action == "gone":
            lost = [c.object for c in statement.changes if c.kind == "table" and c.action == "gone"]
            text = f"with {', '.join(lost[:5])} in it" if lost else "it is empty"
            yield Hit(
                change.name, number, f"the schema goes, {text}", "danger" if lost else "info", {"schema": change.name}
            )
        elif change.action == "changed" and change.what == "name":
            yield Hit(
                change.name, number, f"it is {change.after[0]} from then on: programs that say {change.name} fail", "danger",
                {"schema": change.name},
            )  # fmt: skip


def replaced(scene: Scene) -> Iterator[Hit]:
    """Yield the tables in whose place an empty one comes."""
    for number, _, _change, relation in _tables(scene, "gone"):
        made = any(
            other.kind == "table" and other.action == "added" and str(other.relation) == str(relation)
            for later in scene.revision.statements[number:] for other in later.changes
        )  # fmt: skip
        severity = scene.by_rows(relation)
        if made and severity:
            yield Hit(
                str(relation), number, f"a new, empty {relation} takes the place of {scene.about(relation)}", severity,
                {"table": str(relation)},
            )  # fmt: skip


def truncate(scene: Scene) -> Iterator[Hit]:
    """Yield the tables that are emptied."""
    for number, statement in scene.statements():
        for write in statement.writes:
            severity = scene.by_rows(write.relation)
            if write.kind == "TRUNCATE" and severity:
                yield Hit(
                    str(write.relation), number,
                    f"all rows of {scene.about(write.relation)} are lost; nobody reads or writes it until the transaction ends",
                    severity, {"table": str(write.relation)},
                )  # fmt: skip


def rewrite(scene: Scene) -> Iterator[Hit]:
    """Yield the tables that are written anew, for no column."""
    for number, statement in scene.statements():
        for relation in statement.rewrites:
            severity = scene.by_size(relation)
            by_column = any(
                c.kind == "column"
                and c.relation == relation
                and (c.action == "added" or c.what in {"type", "generated"})
                for c in statement.changes
            )
            if severity is None or by_column or relation.kind != "table":
                continue
            yield Hit(
                str(relation), number,
                f"{scene.about(relation)} is written anew from end to end; meanwhile nobody reads or writes it", severity,
                {"table": str(relation)},
            )  # fmt: skip


def refresh(scene: Scene) -> Iterator[Hit]:
    """Yield the materialized views that nobody reads while they are made anew."""
    for number, statement in scene.statements():
        for relation in statement.rewrites:
            if relation.kind == "materialized view" and scene.by_use(relation) and scene.blocked(number, relation):
                yield Hit(str(relation), number, f"nobody reads {relation} while its query runs", "warning",
                          {"table": str(relation)})  # fmt: skip


_SECURITY = {
    "row security": "programs see other rows than before, or none, where no policy lets them",
    "replica identity": "logical replication finds rows in another way, or not at all",
    "owner": "who could change it no longer can",
}


def short_lock(scene: Scene, kinds: tuple[str, ...], whats: tuple[str, ...] = ()) -> Iterator[Hit]:
    """Yield short and strong locks for something else than a column, a key or an index."""
    for number, _, change in scene.revision.changes():
        relation = change.relation
        if relation is None or relation.new or (change.kind not in kinds and change.what not in whats):
            continue
        severity = scene.by_use(relation)
        if severity is None:
            continue
        why = _SECURITY.get(change.what, "")
        who = scene.blocked(number, relation)
        text = "; ".join(
            part for part in (f"{scene.about(relation)}: {who} until the transaction ends" if who else "", why) if part
        )
        if text:
            yield Hit(
                change.object if change.kind in kinds else str(relation), number, text, severity,
                {"table": str(relation), "name": change.name},
            )  # fmt: skip


def view(scene: Scene) -> Iterator[Hit]:
    """Yield the views that go."""
    for kind in ("view", "materialized view"):
        for number, _, _change, relation in _tables(scene, "gone", kind=kind):
            again = any(
                c.kind == kind and c.action == "added" and str(c.relation) == str(relation)
                for later in scene.revision.statements[number:] for c in later.changes
            )  # fmt: skip
            said = (
                "its rights and comments go, and programs wait" if again else "programs that read it fail from then on"
            )
            yield Hit(str(relation), number, said, "info" if again else "warning", {"table": str(relation)})


def detach(scene: Scene) -> Iterator[Hit]:
    """Yield the partitions that leave their table under a lock."""
    for number, statement, change, relation in _tables(scene, "changed", "partition"):
        if not statement.observed or change.after:
            continue
        parents = [str(r) for r, mode in statement.strongest.items() if r != relation and mode == "AccessExclusiveLock"
                   and r.kind == "table"]  # fmt: skip
        yield Hit(
            str(relation), number, f"nobody reads or writes {', '.join(parents) or 'the parent'} until the transaction ends",
            scene.by_use(relation) or "info", {"table": str(relation), "parent": parents[0] if parents else "..."},
        )  # fmt: skip


def attach(scene: Scene) -> Iterator[Hit]:
    """Yield the partitions that come to a table under a lock."""
    for number, statement, change in scene.revision.changes("table"):
        relation = change.relation
        attached = change.what == "partition" and change.after
        made = change.action == "added" and change.after.attributes.get("partition")
        if relation is None or not (attached or made) or not statement.observed:
            continue
        locked = [r for r, mode in statement.strongest.items() if r != relation and mode == "AccessExclusiveLock"
                  and r.kind == "table" and not r.new]  # fmt: skip
        scanned = [r for r in statement.scans if not r.new]
        if locked or any(scene.by_size(r) for r in scanned):
            read = f"{', '.join(map(scene.about, scanned))} is read from end to end; " if scanned else ""
            worst: Severity = max((scene.by_size(r) or "info" for r in scanned), key=SEVERITIES.index, default="info")
            yield Hit(
                str(relation), number,
                f"{read}nobody reads or writes {', '.join(map(str, locked)) or relation} until the transaction ends", worst,
                {"table": str(relation)},
            )  # fmt: skip

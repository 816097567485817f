"""Renames rest on evidence: which there is, what it is worth, and what stays open without any."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from alembic_safe import renamed_from
from alembic_safe.authoring.push_refusals import open_questions
from alembic_safe.authoring.renames import Evidence, Question, Rename, composed, marked, read_renames, renamed, settle
from alembic_safe.errors import WrongUsage
from alembic_safe.inspecting.catalog_records import Catalog, ObjectId
from alembic_safe.inspecting.models import tables_of

HANDLE = Rename("column", "public", "users", "nick", "handle")


def catalog(enum: tuple[str, ...] = (), **tables: str) -> Catalog:
    objects: dict[ObjectId, dict[str, object]] = {}
    for table, columns in tables.items():
        objects[ObjectId("table", "public", table)] = {}
        for column in columns.split():
            objects[ObjectId("column", "public", column, table)] = {"type": "text"}
    if enum:
        objects[ObjectId("enum", "public", "mood")] = {"labels": enum}
    return Catalog(objects)  # type: ignore[arg-type]


OLD, NEW = catalog(users="id nick"), catalog(users="id handle")


def test_without_evidence_a_pair_stays_open() -> None:
    settled = settle(NEW, OLD, Evidence())
    assert settled.renames == ()
    assert settled.open == (Question("column", "public", "users", ("nick",), ("handle",)),)


@pytest.mark.parametrize("evidence", [
    Evidence(given=(HANDLE,)), Evidence(marked=(HANDLE,)), Evidence(remembered=(HANDLE,)),
    Evidence(remembered=(HANDLE.turned_round,)),
])  # fmt: skip
def test_any_evidence_settles_a_pair(evidence: Evidence) -> None:
    settled = settle(NEW, OLD, evidence)
    assert settled.renames == (HANDLE,)
    assert settled.open == ()


def test_only_what_a_person_said_now_is_an_answer() -> None:
    assert settle(NEW, OLD, Evidence(given=(HANDLE,))).answers == (HANDLE,)
    assert settle(NEW, OLD, Evidence(marked=(HANDLE,))).answers == ()


def test_a_consent_to_the_drop_counts_more_than_a_memory_and_less_than_the_command_line() -> None:
    gone = frozenset({ObjectId("column", "public", "nick", "users")})
    assert settle(NEW, OLD, Evidence(remembered=(HANDLE,), not_renamed=gone)).renames == ()
    assert settle(NEW, OLD, Evidence(remembered=(HANDLE,), not_renamed=gone)).open == ()
    assert settle(NEW, OLD, Evidence(given=(HANDLE,), not_renamed=gone)).renames == (HANDLE,)


def test_a_person_answers_with_a_name_with_nothing_or_not_at_all() -> None:
    assert settle(NEW, OLD, Evidence(), lambda *_: "handle").answers == (HANDLE,)
    assert settle(NEW, OLD, Evidence(), lambda *_: "").gone == {ObjectId("column", "public", "nick", "users")}
    assert len(settle(NEW, OLD, Evidence(), lambda *_: None).open) == 1


def test_a_column_is_looked_for_in_its_renamed_table() -> None:
    wanted, held = catalog(people="id email handle"), catalog(users="id email nick")
    given = (Rename("table", "public", "", "users", "people"), Rename("column", "public", "people", "nick", "handle"))
    assert settle(wanted, held, Evidence(given=given)).renames == given


def test_tables_that_share_no_columns_are_no_question() -> None:
    assert settle(catalog(orders="number total"), catalog(users="id nick"), Evidence()).open == ()


def test_a_label_that_goes_while_another_comes_is_a_question() -> None:
    settled = settle(catalog(("ok", "blue")), catalog(("sad", "ok")), Evidence())
    assert settled.open == (Question("label", "public", "mood", ("sad",), ("blue",)),)


def test_the_marker_of_a_column_and_of_a_table_is_read_from_its_info() -> None:
    metadata = sa.MetaData()
    sa.Table("people", metadata, sa.Column("handle", sa.Text, info=renamed_from("nick")), info=renamed_from("users"))
    assert marked(tables_of([metadata], "public")) == (
        Rename("table", "public", "", "users", "people"), Rename("column", "public", "people", "nick", "handle"),
    )  # fmt: skip


def test_renames_are_read_from_the_command_line_with_and_without_schema() -> None:
    assert read_renames(["users.nick:handle"], NEW, OLD, "public") == (HANDLE,)
    assert read_renames(["public.users.nick:handle"], NEW, OLD, "public") == (HANDLE,)


@pytest.mark.parametrize("text", ["users.nick", "nick:handle", "users.nick:other", "", ":", "users.handle:nick"])
def test_a_rename_that_is_none_is_wrong_usage_and_names_the_possible_ones(text: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        read_renames([text], NEW, OLD, "public")
    assert any("users.nick:handle" in line for line in caught.value.detail)


def test_a_renamed_catalog_differs_in_nothing_from_one_made_so() -> None:
    assert renamed(OLD, [HANDLE]).objects.keys() == NEW.objects.keys()


def test_answers_of_several_pushes_are_one_step_for_a_milestone() -> None:
    def column(old: str, new: str) -> Rename:
        return Rename("column", "public", "users", old, new)

    assert composed([column("a", "b"), column("b", "c")]) == (column("a", "c"),)
    assert composed([column("a", "b"), column("b", "a")]) == ()
    assert composed([column("a", "b"), Rename("table", "public", "", "users", "people")])[0].table == "people"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question("column", "public", "users", ("nick",), ("handle",)),
         "In users, column nick disappears, and handle appears. Nobody has said whether that is a rename;"),
        (Question("column", "public", "users", ("age", "nick"), ("handle",)),
         "In users, columns age and nick disappear, and handle appears."),
        (Question("table", "public", "", ("users",), ("people", "staff")),
         "Table users disappears, and people and staff appear."),
    ],
)  # fmt: skip
def test_what_nobody_has_said_is_asked_in_a_sentence(question: Question, said: str) -> None:
    assert str(open_questions([question], "public")).startswith(said)

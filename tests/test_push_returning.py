"""What comes back in a push meets the models as they are now: no kept value is changed or misplaced without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alembic_safe.errors import ConsentMissing, Refused
from tests.pushed import PushProject, finding_ids, plan_lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def table(*columns: str, key: str = 'sa.Column("id", sa.Integer, primary_key=True)') -> str:
    return f'sa.Table("prices", metadata, {", ".join([key, *columns])})'


AMOUNT = 'sa.Column("amount", sa.Numeric(10, 4))'


@pytest.fixture
def app(tmp_path: Path, cluster: Cluster, database: str) -> PushProject:
    app = PushProject.create(tmp_path / "app", cluster.url(database))
    app.push(table(AMOUNT))
    app.rows("INSERT INTO prices (amount) VALUES (1.2345), (2.5), (3)")
    return app


def test_a_table_that_comes_back_with_another_type_rounds_nothing_without_consent(app: PushProject) -> None:
    app.push("", accept=["drop-table:prices"])
    with pytest.raises(ConsentMissing, match="2 of 3 rows change their value"):
        app.push(table('sa.Column("amount", sa.Integer)', 'sa.Column("note", sa.Text)'))
    app.push(table(AMOUNT))
    assert [str(amount) for (amount,) in app.rows("SELECT amount FROM prices ORDER BY id")] == [
        "1.2345", "2.5000", "3.0000",
    ]  # fmt: skip


def test_a_table_that_comes_back_is_asked_for_what_must_not_be_null(app: PushProject) -> None:
    app.push("", accept=["drop-table:prices"])
    note = table(AMOUNT, 'sa.Column("note", sa.Text, nullable=False)')
    with pytest.raises(Refused, match=r"prices has 3 rows and no value for prices.note"):
        app.push(note)
    app.push(note, fills=("prices.note='old'",))
    assert app.rows("SELECT count(amount), min(note) FROM prices") == [(3, "old")]


def test_a_column_that_comes_back_not_null_names_the_rows_that_get_nothing(app: PushProject) -> None:
    app.push(table(), accept=["drop-column:prices.amount"])
    app.rows("INSERT INTO prices DEFAULT VALUES")
    again = table('sa.Column("amount", sa.Numeric(10, 4), nullable=False)')
    with pytest.raises(Refused, match=r"1 of 4 rows get no value back in prices.amount") as caught:
        app.push(again)
    assert caught.value.next_steps[-1].command == 'alembic dev-push --fill "prices.amount=EXPRESSION"'
    app.push(again, fills=("prices.amount=0",))
    assert app.rows("SELECT sum(amount)::text FROM prices") == [("6.7345",)]


def test_a_column_whose_kept_values_do_not_convert_comes_back_empty_with_consent_and_keeps_them(
    app: PushProject,
) -> None:
    app.push(table(), accept=["drop-column:prices.amount"])
    whole = table('sa.Column("amount", sa.Integer)')
    with pytest.raises(
        ConsentMissing, match=r"3 of the 3 values that are kept of prices.amount do not convert"
    ) as caught:
        app.push(whole)
    assert caught.value.next_steps[-1].command == "alembic dev-push --accept restore-empty:prices.amount"
    app.push(whole, accept=["restore-empty:prices.amount"])
    assert app.rows("SELECT count(*), count(amount) FROM prices") == [(3, 0)]
    assert app.rows("SELECT value FROM alembic_safe_retired.prices_amount ORDER BY key_1") == [
        ("1.2345",), ("2.5000",), ("3.0000",),
    ]  # fmt: skip


def test_values_do_not_come_back_to_rows_that_were_given_the_same_numbers_anew(app: PushProject) -> None:
    app.push(table(), accept=["drop-column:prices.amount"])
    app.rows("TRUNCATE prices RESTART IDENTITY; INSERT INTO prices SELECT FROM generate_series(1, 9)")
    with pytest.raises(ConsentMissing, match="the counter of its keys was set back") as caught:
        app.push(table(AMOUNT))
    assert [step.command for step in caught.value.next_steps] == [
        "alembic dev-push --accept restore-by-key:prices.amount",
        "alembic dev-push --accept restore-empty:prices.amount",
    ]
    app.push(table(AMOUNT), accept=["restore-empty:prices.amount"])
    assert app.rows("SELECT count(*), count(amount) FROM prices") == [(9, 0)]


def test_a_column_with_values_becomes_computed_only_with_consent(app: PushProject) -> None:
    computed = table('sa.Column("amount", sa.Numeric(10, 4), sa.Computed("id * 2", persisted=True))')
    with pytest.raises(ConsentMissing, match=r"prices.amount becomes computed; 3 of 3 rows hold a value"):
        app.push(computed)
    told = app.push(computed, accept=["drop-column:prices.amount"])
    assert plan_lines(told) == ["~ prices.amount  becomes computed"]
    assert app.rows("SELECT count(*) FROM alembic_safe_retired.prices_amount") == [(3,)]


def test_a_label_that_goes_is_found_whatever_its_type_is_called_and_in_arrays(app: PushProject) -> None:
    def with_labels(*labels: str) -> str:
        of = f'postgresql.ENUM({", ".join(map(repr, labels))}, name="Mood 100%")'
        one, many = f'sa.Column("one", {of})', f'sa.Column("many", postgresql.ARRAY({of}))'
        return f'sa.Table("Users %", metadata, sa.Column("id", sa.Integer, primary_key=True), {one}, {many})'

    app.push(table(AMOUNT) + "\n" + with_labels("sad", "ok", "odd"))
    app.rows("""INSERT INTO "Users %" (one, many) VALUES ('sad', '{ok,odd}')""")
    with pytest.raises(Refused) as caught:
        app.push(table(AMOUNT) + "\n" + with_labels("ok"))
    assert any('UPDATE "public"."Users %" SET "one"' in step.why for step in caught.value.next_steps)
    assert "alembic dev-push --rename 'Mood 100%.odd:NEW'" in [step.command for step in caught.value.next_steps]
    told = app.push(dry_run=True)
    assert finding_ids(told) == ["enum-value:Mood 100%.sad", "enum-value:Mood 100%.odd"]


@pytest.mark.long
def test_another_column_that_gets_the_name_later_is_not_filled_with_what_was_kept(app: PushProject) -> None:
    app.push(table(), accept=["drop-column:prices.amount"])
    app.push(table('sa.Column("cost", sa.Numeric(10, 4))'))
    app.push(table(AMOUNT), renames=["prices.cost:amount"])
    app.push()
    assert app.rows("SELECT count(*), count(amount) FROM prices") == [(3, 0)]


def test_a_branch_that_is_left_and_taken_again_has_every_row_it_had(app: PushProject) -> None:
    branch = app.project.revision(
        "b1", None, "branch",
        """op.add_column("prices", sa.Column("note", sa.Text))
op.add_column("prices", sa.Column("kind", sa.Text, nullable=False, server_default="plain"))
op.create_table("Sorts %", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, unique=True))
op.create_table("A list", sa.Column("id", sa.Integer, primary_key=True),
                sa.Column("sort", sa.Integer, sa.ForeignKey("Sorts %.id")))""",
        """op.drop_table("A list")
op.drop_table("Sorts %")
op.drop_column("prices", "kind")
op.drop_column("prices", "note")""",
    )  # fmt: skip
    text = branch.read_text()
    app.project.run("upgrade", "head", check=0)
    app.rows("""UPDATE prices SET note = 'n' || id, kind = CASE id WHEN 1 THEN 'own' ELSE kind END;
                INSERT INTO "Sorts %" (name) VALUES ('a'), ('b'); INSERT INTO "A list" (sort) VALUES (2), (1)""")
    branch.unlink()
    app.project.run("dev-push", "--leave", "b1", check=0)
    app.rows("INSERT INTO prices (amount) VALUES (9)")
    branch.write_text(text)
    app.project.run("upgrade", "head", check=0)
    app.rows("UPDATE prices SET note = 'written since' WHERE id = 2")

    key = 'sa.Column("id", sa.Integer, primary_key=True)'
    listed = f"""sa.Table("Sorts %", metadata, {key}, sa.Column("name", sa.Text, unique=True))
sa.Table("A list", metadata, {key}, sa.Column("sort", sa.Integer, sa.ForeignKey("Sorts %.id")))
"""
    kind = 'sa.Column("kind", sa.Text, nullable=False, server_default="plain")'
    app.push(listed + table(AMOUNT, 'sa.Column("note", sa.Text)', kind))
    assert app.rows("SELECT id, note, kind FROM prices ORDER BY id") == [
        (1, "n1", "own"), (2, "written since", "plain"), (3, "n3", "plain"), (4, None, "plain"),
    ]  # fmt: skip
    assert app.rows("""SELECT l.id, s.name FROM "A list" l JOIN "Sorts %" s ON s.id = l.sort ORDER BY 1""") == [
        (1, "b"), (2, "a"),
    ]  # fmt: skip
    app.rows("""INSERT INTO "Sorts %" (name) VALUES ('counted on')""")
    assert app.rows("SELECT value FROM alembic_safe_retired.prices_note") == [("n2",)]

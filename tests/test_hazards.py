"""Every hazard, tested from its own examples: the bad one is found, the good one is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.config import Config

from alembic_safe import commands
from alembic_safe.inspecting.hazard import ANYWHERE, SETUP, Example
from alembic_safe.inspecting.hazards import BY_ID, HAZARDS
from alembic_safe.inspecting.live import DataFailure, TableFacts
from alembic_safe.inspecting.policy import read_policy
from alembic_safe.reporting.hazards import explained, pages
from tests.test_messages import DESTRUCTIVE
from tests.traced import Watched, big, emptied, hazards_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic_safe.inspecting.hazard import Hazard
    from alembic_safe.inspecting.live import Live
    from alembic_safe.inspecting.trace import Trace
    from tests.cluster import Cluster

DOCS = Path(__file__).parent.parent / "docs" / "hazards"
BY_DATA = {"duplicate-rows", "null-values", "orphan-rows", "violating-rows", "uncastable-values", "values-change"}
"""Those that rows of the target decide: tests/test_data_failures.py has them."""
SEEN = [hazard for hazard in HAZARDS if hazard.id not in BY_DATA]
NOT_BY_SQL = {"outside-the-database", "retire"}


@pytest.fixture(scope="module")
def watched(cluster: Cluster) -> Iterator[Watched]:
    cluster.create("hazards")
    yield Watched(cluster.url("hazards"))
    cluster.drop("hazards")


def forms(example: Example) -> list[str]:
    block = ["block"] if example.sql and example.in_block else []
    return (["operation"] if example.operation else []) + (["sql"] if example.sql else []) + block


def target(hazard: Hazard, trace: Trace) -> Live:
    live = big(trace)
    return replace(live, server_version=140002) if hazard.id == "concurrently-corrupts" else live


def found(watched: Watched, hazard: Hazard, which: str, form: str) -> set[str]:
    trace = watched.run(hazard.setup, getattr(hazard, which), form=form)
    if which == "good":
        assert [one.failed for one in trace.revisions] == [""], f"the good example of {hazard.id} does not run"
    return {one.hazard.id for one in hazards_in(trace, target(hazard, trace))}


@pytest.mark.parametrize("hazard", SEEN, ids=lambda hazard: hazard.id)
def test_the_bad_example_is_found_and_the_good_one_is_silent(watched: Watched, hazard: Hazard) -> None:
    assert hazard.id in found(watched, hazard, "bad", forms(hazard.bad)[-1])
    assert hazard.id not in found(watched, hazard, "good", forms(hazard.good)[0])


@pytest.mark.long
@pytest.mark.parametrize("hazard", SEEN, ids=lambda hazard: hazard.id)
def test_in_every_form_operation_sql_and_block(watched: Watched, hazard: Hazard) -> None:
    for which in ("bad", "good"):
        for form in forms(getattr(hazard, which)):
            assert (hazard.id in found(watched, hazard, which, form)) is (which == "bad"), form


def test_an_id_is_kebab_case_and_unique_and_each_hazard_has_both_examples() -> None:
    assert [name for name, number in Counter(hazard.id for hazard in HAZARDS).items() if number > 1] == []
    for hazard in HAZARDS:
        assert hazard.id == hazard.id.lower().replace("_", "-").replace(" ", "-")
        assert forms(hazard.bad)
        assert forms(hazard.good)
        assert hazard.about.endswith("."), hazard.id
        assert "sql" in forms(hazard.bad) or hazard.id in NOT_BY_SQL


def test_the_catalogue_of_research_is_covered() -> None:
    covered = {row for hazard in HAZARDS for row in hazard.rows}
    assert covered == set(range(1, 79))


def test_the_table_beside_squawk_has_every_hazard_and_no_form_that_is_missed() -> None:
    """``python -m benchmarks.hazards`` makes it anew."""
    lines = (DOCS.parent / "hazards-compared.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][1:]
    assert [row[0].partition(" (")[0] for row in rows] == [hazard.id for hazard in HAZARDS]
    assert {cell for row in rows for cell in row[2:8]} == {"yes", "-"}
    covered = {int(number) for row in rows if row[1] != "ours" for number in row[1].split(", ")}
    assert covered == set(range(1, 79))


@pytest.mark.parametrize("hazard", [one for one in HAZARDS if one.family == "advice"], ids=lambda hazard: hazard.id)
def test_advice_is_not_told_by_default(watched: Watched, hazard: Hazard) -> None:
    trace = watched.run(hazard.setup, hazard.bad, form="sql")
    assert hazard.id in {one.hazard.id for one in hazards_in(trace, advice=True)}
    assert hazard.id not in {one.hazard.id for one in hazards_in(trace, advice=read_policy("").advice)}


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda hazard: hazard.id)
def test_no_remedy_destroys_anything(hazard: Hazard) -> None:
    allowed = {
        "invalid-index-kept": "the INVALID index, which serves nobody",
        "drop-index": "the operation that it is about, CONCURRENTLY",
        "index-of-constraint": "the operation that it is about, done so that it says what replaces the constraint",
        "used-by-others": "a view that is made again in the same transaction",
    }
    assert not DESTRUCTIVE.search(hazard.remedy) or hazard.id in allowed


@pytest.mark.parametrize("hazard", [one for one in HAZARDS if one.no_consent == ANYWHERE], ids=lambda hazard: hazard.id)
def test_where_no_consent_helps_anywhere_none_is_explained_and_the_hit_says_so(
    watched: Watched, hazard: Hazard
) -> None:
    assert "accept" not in explained(hazard, 80).split("Which is silent")[1]
    trace = watched.run(hazard.setup, hazard.bad, form=forms(hazard.bad)[-1])
    assert {one.hit.fails for one in hazards_in(trace) if one.hazard is hazard} == {True}


def test_the_pages_are_what_the_records_say() -> None:
    made = pages(HAZARDS)
    assert {path.name for path in DOCS.glob("*.md")} == set(made)
    for name, text in made.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, (
            f"make them anew: python -m tests.hazard_pages ({name})"
        )


@pytest.mark.parametrize("columns", [80, 100])
def test_an_explanation_fits_the_terminal(columns: int) -> None:
    for hazard in HAZARDS:
        text = explained(hazard, columns)
        assert hazard.id in text
        prose = text.split("For example")[0]
        assert max(len(line) for line in prose.splitlines()) <= columns


# --- how bad it is, by what it meets ---------------------------------------------------------------------------------


def judged(watched: Watched, id_: str, facts: TableFacts) -> str | None:
    hazard = BY_ID[id_]
    trace = watched.run(hazard.setup, hazard.bad, form="sql")
    live = replace(big(trace), tables=dict.fromkeys(big(trace).tables, facts))
    return next((one.severity for one in hazards_in(trace, live) if one.hazard.id == id_), None)


@pytest.mark.parametrize(
    ("id_", "empty", "small", "large"),
    [
        ("drop-column", "info", "danger", "danger"),
        ("drop-table", "info", "danger", "danger"),
        ("rename-column", "info", "danger", "danger"),
        ("truncate", "info", "danger", "danger"),
        ("create-index", "info", "info", "danger"),
        ("change-type-rewrite", "info", "info", "danger"),
        ("set-not-null", "info", "info", "danger"),
        ("add-foreign-key", "info", "info", "danger"),
        ("several-tables-locked", "info", "info", "warning"),
    ],
)
def test_the_size_of_the_table_decides(watched: Watched, id_: str, empty: str, small: str, large: str) -> None:
    assert judged(watched, id_, TableFacts()) == empty
    assert judged(watched, id_, TableFacts(rows=300, bytes=80_000)) == small
    assert judged(watched, id_, TableFacts(rows=40_000_000, bytes=9 * 1000**3, exact=False)) == large


def test_a_column_that_holds_no_value_is_information(watched: Watched) -> None:
    facts = TableFacts(rows=40_000_000, bytes=9 * 1000**3, filled={"email": 0})
    assert judged(watched, "drop-column", facts) == "info"
    assert judged(watched, "drop-column", replace(facts, filled={"email": 3})) == "danger"


def test_a_generated_column_holds_nothing_of_its_own(watched: Watched) -> None:
    setup = "CREATE TABLE users (id bigint PRIMARY KEY, name text, loud text GENERATED ALWAYS AS (upper(name)) STORED)"
    trace = watched.run(
        setup, Example(sql=("ALTER TABLE users DROP COLUMN loud", "ALTER TABLE users DROP COLUMN name")), form="sql"
    )
    assert [(one.id, one.severity) for one in hazards_in(trace) if one.hazard.id == "drop-column"] == [
        ("drop-column:users.loud", "info"), ("drop-column:users.name", "danger")
    ]  # fmt: skip


def test_what_nobody_looked_at_is_never_harmless(watched: Watched) -> None:
    hazard = BY_ID["create-index"]
    trace = watched.run(hazard.setup, hazard.bad, form="sql")
    live = replace(big(trace), known=False, tables={})
    assert [one.severity for one in hazards_in(trace, live) if one.hazard.id == "create-index"] == ["warning"]


def test_on_an_empty_database_nothing_is_worse_than_information(watched: Watched) -> None:
    for id_ in ("drop-column", "drop-table", "change-type-rewrite", "create-index", "add-unique", "lock-held-on"):
        trace = watched.run(BY_ID[id_].setup, BY_ID[id_].bad, form="sql")
        assert {one.severity for one in hazards_in(trace, emptied(big(trace)), advice=False)} <= {"info"}, id_


def test_rows_that_a_statement_before_may_mend_are_information(watched: Watched) -> None:
    hazard = BY_ID["null-values"]
    bad = replace(hazard.bad, sql=("UPDATE users SET name = ''", *hazard.bad.sql))
    for example, statement, severity in ((hazard.bad, 0, "danger"), (bad, 1, "info")):
        trace = watched.run(hazard.setup, example, form="sql")
        (users,) = [relation for relation in trace.columns if relation.name == "users"]
        failure = DataFailure("null-values", "e1", statement, "users.name", users, 7, "have no value in name")
        live = replace(big(trace), failures=(failure,))
        (one,) = [one for one in hazards_in(trace, live) if one.hazard.id == "null-values"]
        assert one.severity == severity
        assert one.id == "null-values:users.name"
        assert "7 rows of users" in one.hit.effect


def test_an_invalid_index_that_is_there_is_a_refusal(watched: Watched) -> None:
    hazard = BY_ID["invalid-index-kept"]
    trace = watched.run(hazard.setup, hazard.bad, form="sql")
    live = replace(big(trace), invalid_indexes=frozenset({("public", "users_name")}))
    assert [one.severity for one in hazards_in(trace, live) if one.hazard.id == hazard.id] == ["danger"]


def test_the_remedy_names_what_it_is_about(watched: Watched) -> None:
    hazard = BY_ID["set-not-null"]
    trace = watched.run(hazard.setup, hazard.bad, form="sql")
    (one,) = [one for one in hazards_in(trace) if one.hazard is hazard]
    assert 'op.create_check_constraint("name_filled", "users"' in hazard.advises(one.hit)


@pytest.mark.parametrize(
    ("over", "said"),
    [("(email) WHERE id > 5", True), ("(id) WHERE email <> ''", True), ("(lower(email))", True), ("(email)", False)],
)
def test_an_index_with_a_predicate_is_built_anew_for_a_type_that_touches_no_row(
    watched: Watched, over: str, *, said: bool
) -> None:
    hazard = BY_ID["change-type-check"]
    users = hazard.setup.replace(" CHECK (email <> '')", "")
    setup = f"{users} CREATE INDEX by_email ON users {over};"
    effects = [one.hit.effect for one in hazards_in(watched.run(setup, hazard.bad, form="sql")) if one.hazard is hazard]
    assert [effect[: len("by_email on")] for effect in effects] == ["by_email on"] * said


def test_our_own_verbs_are_no_false_alarm(watched: Watched) -> None:
    for id_ in ("drop-column", "drop-table"):
        trace = watched.run(BY_ID[id_].setup, BY_ID[id_].good, form="operation")
        worse = {one.hazard.id for one in hazards_in(trace, advice=False) if one.severity in {"warning", "danger"}}
        assert worse <= {"lock-held-on"}  # which is true: what is kept is copied under the lock


def test_what_a_revision_does_to_a_column_that_it_made_itself_hurts_nobody(watched: Watched) -> None:
    sql = ("ALTER TABLE users ADD COLUMN new_name text", "ALTER TABLE users RENAME new_name TO nick",
           "ALTER TABLE users ADD COLUMN x int", "ALTER TABLE users DROP COLUMN x")  # fmt: skip
    trace = watched.run(SETUP, Example(sql=sql), form="sql")
    assert not {one.hazard.id for one in hazards_in(trace, advice=False)} & {"rename-column", "drop-column"}


def test_rows_that_the_revision_took_away_before_are_not_said_to_be_there(watched: Watched) -> None:
    """Seen in a public history: DELETE FROM, and then a required column."""
    hazard = BY_ID["add-column-required"]
    example = replace(hazard.bad, sql=("DELETE FROM users", *hazard.bad.sql))
    (one,) = [one for one in hazards_in(watched.run(hazard.setup, example, form="sql")) if one.hazard is hazard]
    assert "rows that the DELETE before it leaves have no value for it" in one.hit.effect


SWAPPED = """ALTER TABLE users ADD COLUMN new bigint; ALTER TABLE users ADD UNIQUE (new); ALTER TABLE users DROP COLUMN id;
ALTER TABLE users RENAME new TO id"""
AGAIN = "ALTER TABLE orders ADD CONSTRAINT again FOREIGN KEY (user_id) REFERENCES users (id)"


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("ALTER TABLE users ADD PRIMARY KEY (id)", "with it goes orders.orders_user"),
        ("CREATE UNIQUE INDEX users_id ON users (id)", "with it goes orders.orders_user"),
        ("CREATE UNIQUE INDEX users_id ON users (id) WHERE name <> ''", "INSERT ... ON CONFLICT (id) fails from then on"),
        ("ALTER TABLE users ADD UNIQUE (name)", "INSERT ... ON CONFLICT (id) fails from then on"),
        (f"ALTER TABLE users ADD PRIMARY KEY (id); {AGAIN}", ""),
        ("ALTER TABLE users RENAME id TO nr; ALTER TABLE users ADD UNIQUE (nr)", "with it goes orders.orders_user"),
        (SWAPPED, "with it goes orders.orders_user"),
    ],
)  # fmt: skip
def test_a_key_that_the_same_transaction_makes_again_is_still_there(watched: Watched, then: str, said: str) -> None:
    """Seen in two public histories: a key that goes and comes back, with the foreign keys that refer to it."""
    hazard = BY_ID["drop-key-in-use"]
    example = Example(sql=(*hazard.bad.sql, *then.split(";")))
    found = [one for one in hazards_in(watched.run(hazard.setup, example, form="sql")) if one.hazard is hazard]
    assert [one.hit.effect[: len(said)] for one in found] == ([said] if said else [])


def test_a_foreign_key_over_other_columns_deletes_along_as_the_old_one_did(watched: Watched) -> None:
    """Seen in a public history: a key by name becomes one by id."""
    hazard = BY_ID["cascade-disappears"]
    again = "ALTER TABLE orders ADD COLUMN buyer bigint REFERENCES users (id) ON DELETE {}"
    gone = "ALTER TABLE orders DROP COLUMN user_id"
    for more, expected in ((again.format("CASCADE"), False), (again.format("RESTRICT"), True), (gone, False)):
        example = Example(sql=(*hazard.bad.sql, more))
        trace = watched.run(hazard.setup, example, form="sql")
        assert (hazard.id in {one.hazard.id for one in hazards_in(trace)}) is expected, more


def test_within_one_transaction_nobody_reads_while_an_index_is_replaced(watched: Watched) -> None:
    """Seen in three public histories: the lock of the DROP keeps everybody out until the new index is there."""
    hazard = BY_ID["replace-index"]
    apart = (
        "DROP INDEX CONCURRENTLY users_name",
        "CREATE INDEX CONCURRENTLY users_name_email ON users (name, email)",
    )
    for sql, autocommit, said in (
        (hazard.bad.sql, False, "nobody reads or writes users"),
        (apart, True, "queries that need it read all of users"),
    ):
        trace = watched.run(hazard.setup, Example(sql=sql, autocommit=autocommit), form="sql")
        (one,) = [one for one in hazards_in(trace) if one.hazard is hazard]
        assert said in one.hit.effect


def test_a_column_whose_name_is_taken_at_once_loses_values_and_breaks_no_program(watched: Watched) -> None:
    """Seen in a public history: a column goes and comes back as another one."""
    hazard = BY_ID["drop-column"]
    for then, said in (
        ("ADD COLUMN email text", "a new column takes its name"),
        ("RENAME name TO email", "a new column takes its name"),
        ("ADD COLUMN mail text", "every program that names it fails"),
    ):
        example = Example(sql=(*hazard.bad.sql, f"ALTER TABLE users {then}"))
        (one,) = [one for one in hazards_in(watched.run(hazard.setup, example, form="sql")) if one.hazard is hazard]
        assert "values are lost" in one.hit.effect
        assert said in one.hit.effect


def test_what_looks_at_the_catalog_first_may_be_committed_early(watched: Watched) -> None:
    add = 'op.add_column("users", sa.Column("nick", sa.Text){})\n'
    rest = BY_ID["committed-early"].good.operation
    for more, expected in ((", if_not_exists=True", False), ("", True)):
        trace = watched.run(BY_ID["committed-early"].setup, Example(add.format(more) + rest), form="operation")
        assert ("committed-early" in {one.hazard.id for one in hazards_in(trace)}) is expected


def explain(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert commands.run("safe-explain", args, Config()) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_a_hazard_is_explained_by_its_id_or_by_a_consent(capsys: pytest.CaptureFixture[str]) -> None:
    text = explain(capsys, "drop-column:users.name")
    assert text == explain(capsys, "drop-column")
    assert "op.retire_column" in text
    assert all(hazard.id in explain(capsys) for hazard in HAZARDS[:3])


def test_the_nearest_hazard_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "drop-column" in explain(capsys, "drop-colum", code=2)

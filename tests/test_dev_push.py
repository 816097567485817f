"""`alembic dev-push` on real databases: what it does, what it refuses, and that no row is lost."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from alembic_safe.errors import ConsentMissing, Refused, RevisionFailed, WrongUsage
from tests import warm
from tests.patience import eventually
from tests.pushed import PushProject, finding_ids, outcome, plan_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster import Cluster

USERS = """
users = sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("email", sa.Text, unique=True){})
"""


def users(*columns: str) -> str:
    return USERS.format("".join(f", {column}" for column in columns))


NICK = 'sa.Column("nick", sa.String(100), index=True)'
HANDLE = 'sa.Column("handle", sa.String(100), index=True)'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def app(tmp_path: Path, cluster: Cluster, database: str) -> PushProject:
    return PushProject.create(tmp_path / "app", cluster.url(database))


@pytest.fixture(scope="module")
def pushed_once(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the database that ``filled`` is a copy of: one push, and rows."""
    name = f"pushed_{os.getpid()}"
    cluster.create(name)
    app = PushProject.create(tmp_path_factory.mktemp("pushed") / "app", cluster.url(name))
    app.push(users(NICK))
    app.rows("INSERT INTO users (email, nick) SELECT i || '@x', 'n' || i FROM generate_series(1, 5) i")
    yield name
    cluster.drop(name)


@pytest.fixture
def filled(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str], pushed_once: str) -> PushProject:
    app = PushProject.create(tmp_path / "app", cluster.url(make_database(template=pushed_once)))
    app.models(users(NICK))
    return app


def test_models_are_pushed_into_an_empty_database_and_a_second_push_finds_nothing(app: PushProject) -> None:
    told = app.push(users(NICK))
    assert outcome(told) == "done"
    assert "+ users  table, 3 columns" in plan_lines(told)
    assert outcome(app.push()) == "nothing"


def test_no_revision_is_written_and_the_version_table_is_not_made(app: PushProject) -> None:
    app.push(users())
    assert list((app.project.folder / "migrations" / "versions").iterdir()) == []
    assert app.rows("SELECT to_regclass('alembic_version')") == [(None,)]


def test_a_push_is_journalled_with_its_plan_and_its_sql(app: PushProject) -> None:
    app.push(users())
    [(changes, sql, accepted)] = app.rows("SELECT changes, sql, accepted FROM alembic_safe.pushes")
    assert "+ users  table, 2 columns" in changes
    assert "CREATE TABLE users" in sql
    assert accepted == []


def test_a_rename_keeps_the_values_and_its_index_is_called_as_a_fresh_one(filled: PushProject) -> None:
    told = filled.push(users(HANDLE), renames=("users.nick:handle",))
    assert plan_lines(told) == ["> users.handle  was nick"]
    assert filled.rows("SELECT count(handle) FROM users") == [(5,)]
    assert filled.rows("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'ix%'") == [("ix_users_handle",)]


def test_a_column_that_goes_while_another_comes_is_an_error_that_names_both_readings(filled: PushProject) -> None:
    with pytest.raises(ConsentMissing) as caught:
        filled.push(users(HANDLE))
    commands = [step.command for step in caught.value.next_steps]
    assert commands == [
        "alembic dev-push --rename users.nick:handle", "alembic dev-push --accept drop-column:users.nick",
    ]  # fmt: skip
    assert filled.rows("SELECT count(nick) FROM users") == [(5,)]


def test_a_marker_in_the_model_is_evidence_enough_for_a_rename(filled: PushProject) -> None:
    filled.push(users(HANDLE.replace("index=True", 'index=True, info=renamed_from("nick")')))
    assert filled.rows("SELECT count(handle) FROM users") == [(5,)]


def test_a_rename_is_remembered_and_taken_back_when_the_branch_is_left(filled: PushProject) -> None:
    filled.push(users(HANDLE), renames=("users.nick:handle",))
    filled.push(users(NICK))
    filled.push(users(HANDLE))
    assert filled.rows("SELECT count(handle) FROM users") == [(5,)]


def test_a_column_with_values_goes_only_with_consent_by_name(filled: PushProject) -> None:
    with pytest.raises(ConsentMissing, match="5 of 5 rows hold a value") as caught:
        filled.push(users())
    assert caught.value.next_steps[-1].command == "alembic dev-push --accept drop-column:users.nick"
    assert filled.rows("SELECT count(nick) FROM users") == [(5,)]


def test_a_column_that_reappears_brings_its_values_with_it(filled: PushProject) -> None:
    filled.push(users(), accept=["drop-column:users.nick"])
    assert filled.rows("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'nick'") == [
        (0,)
    ]
    filled.push(users(NICK))
    assert filled.rows("SELECT nick FROM users ORDER BY id") == [(f"n{i}",) for i in range(1, 6)]


def test_a_table_that_reappears_brings_its_rows_with_it(filled: PushProject) -> None:
    filled.push("", accept=["drop-table:users"])
    assert filled.rows("SELECT to_regclass('users')") == [(None,)]
    filled.push(users(NICK))
    assert filled.rows("SELECT nick FROM users ORDER BY id") == [(f"n{i}",) for i in range(1, 6)]


def test_a_not_null_column_on_a_table_with_rows_is_refused_with_three_ways_on(filled: PushProject) -> None:
    with pytest.raises(Refused, match=r"users has 5 rows and no value for users.age, which is NOT NULL") as caught:
        filled.push(users(NICK, 'sa.Column("age", sa.Integer, nullable=False)'))
    whys = [step.why for step in caught.value.next_steps]
    assert [why.split(":")[0] for why in whys] == ["allow NULL for now", "one value for every row", "fill these 5 rows"]
    assert caught.value.exit_code == 3


def test_a_fill_gives_existing_rows_their_value(filled: PushProject) -> None:
    filled.push(users(NICK, 'sa.Column("age", sa.Integer, nullable=False)'), fills=("users.age=id * 10",))
    assert filled.rows("SELECT age FROM users ORDER BY id") == [(10,), (20,), (30,), (40,), (50,)]
    assert filled.rows(
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'age'"
    ) == [(True,)]
    assert filled.rows("SELECT name, expression FROM alembic_safe.fill_answers") == [("age", "id * 10")]


def test_values_that_do_not_convert_are_counted_and_a_fill_says_how(filled: PushProject) -> None:
    filled.rows("UPDATE users SET nick = id::text WHERE id > 2")
    with pytest.raises(Refused, match=r"2 of 5 rows of users.nick do not convert from varchar\(100\) to integer"):
        filled.push(users('sa.Column("nick", sa.Integer)'))
    filled.push(users('sa.Column("nick", sa.Integer)'), fills=("users.nick=CASE WHEN nick ~ '^[0-9]+$' THEN nick END",))
    assert filled.rows("SELECT nick FROM users ORDER BY id") == [(None,), (None,), (3,), (4,), (5,)]


def test_a_conversion_that_changes_values_needs_consent(filled: PushProject) -> None:
    filled.rows("UPDATE users SET nick = 'a long nickname' WHERE id = 1")
    shorter = users('sa.Column("nick", sa.String(5), index=True)')
    with pytest.raises(ConsentMissing, match="1 of 5 rows change their value"):
        filled.push(shorter)
    filled.push(shorter, accept=["cast:users.nick"])
    assert filled.rows("SELECT nick FROM users ORDER BY id LIMIT 2") == [("a lon",), ("n2",)]


def test_duplicates_that_stand_against_a_unique_constraint_are_shown(filled: PushProject) -> None:
    filled.rows("UPDATE users SET nick = 'same' WHERE id < 4")
    with pytest.raises(Refused, match=r"3 of 5 rows are not unique in nick, such as .*same"):
        filled.push(users('sa.Column("nick", sa.String(100), unique=True)'))


def test_rows_that_violate_a_check_are_counted(filled: PushProject) -> None:
    with pytest.raises(Refused, match="5 of 5 rows violate short"):
        filled.push(users(NICK, "sa.CheckConstraint(\"nick = 'x'\", name='short')"))


MOODS = 'sa.Column("mood", sa.Enum({}, name="mood"){})'


def test_labels_of_an_enum_come_go_and_change_places_with_every_row(app: PushProject) -> None:
    app.push(users(MOODS.format("'sad', 'ok'", "")))
    app.rows("INSERT INTO users (mood) VALUES ('sad'), ('ok')")
    app.push(users(MOODS.format("'sad', 'fine', 'ok', 'glad'", ", server_default='glad'")))
    app.push(users(MOODS.format("'glad', 'ok', 'sad'", "")))
    assert app.rows("SELECT mood::text FROM users ORDER BY id") == [("sad",), ("ok",)]
    assert app.rows("SELECT enum_range(NULL::mood)::text[]") == [(["glad", "ok", "sad"],)]


def test_a_label_that_rows_hold_does_not_go(app: PushProject) -> None:
    app.push(users(MOODS.format("'sad', 'ok'", "")))
    app.rows("INSERT INTO users (mood) VALUES ('sad'), ('ok')")
    with pytest.raises(Refused, match=r"1 row of users.mood hold 'sad', which mood no longer has"):
        app.push(users(MOODS.format("'ok', 'blue'", "")))
    app.push(users(MOODS.format("'ok', 'blue'", "")), renames=("mood.sad:blue",))
    assert app.rows("SELECT mood::text FROM users ORDER BY id") == [("blue",), ("ok",)]


def test_what_autogenerate_does_not_see_is_pushed(app: PushProject) -> None:
    body = """
sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.Integer{pk}, nullable=False),
    sa.Column("twice", sa.Integer, sa.Computed("a * {n}", persisted=True)), sa.CheckConstraint("a > {n}", name="big"),
    sa.Index("some", "a", postgresql_where=sa.text("a > {n}")), sa.Column("n", sa.Integer, server_default="{n}"))
"""
    app.push(body.format(pk="", n=1))
    app.rows("INSERT INTO t (a) VALUES (7)")
    told = app.push(body.format(pk=", primary_key=True", n=2))
    assert {line.split("  ")[0] for line in plan_lines(told)} >= {"~ t_pkey", "~ big", "~ some", "~ t.twice", "~ t.n"}
    assert app.rows("SELECT id, a, twice, n FROM t") == [(1, 7, 14, 1)]
    assert outcome(app.push()) == "nothing"


def test_what_nobody_of_ours_made_is_kept_and_listed(filled: PushProject) -> None:
    filled.rows("CREATE TABLE by_hand (id int)")
    filled.rows("CREATE INDEX by_hand_too ON users (email)")
    told = filled.push(users(NICK, 'sa.Column("age", sa.Integer)'))
    assert plan_lines(told) == ["+ users.age  integer, nullable"]
    assert filled.rows("SELECT to_regclass('by_hand')::text, to_regclass('by_hand_too')::text") == [
        ("by_hand", "by_hand_too")
    ]
    told = filled.push(drop_unknown=True)
    assert plan_lines(told)[0].startswith("- by_hand")
    assert filled.rows("SELECT to_regclass('by_hand'), to_regclass('by_hand_too')") == [(None, None)]


def test_what_the_history_made_goes_when_the_models_drop_it(app: PushProject) -> None:
    app.project.revision("a1", None, "users", 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True),'
                         ' sa.Column("email", sa.Text, unique=True), sa.Column("old", sa.Text))')  # fmt: skip
    app.project.run("upgrade", "head", check=0)
    told = app.push(users())
    assert plan_lines(told) == ["- users.old  text, nullable"]


def test_pending_revisions_are_named_before_anything_happens(app: PushProject) -> None:
    app.project.revision("a1", None, "users", "pass")
    with pytest.raises(Refused, match="1 revision is pending") as caught:
        app.push(users())
    assert caught.value.next_steps[0].command == "alembic upgrade heads"


def test_a_protected_database_is_not_pushed_into(tmp_path: Path, cluster: Cluster, database: str) -> None:
    app = PushProject.create(tmp_path / "app", cluster.url(database), settings="environment = production")
    with pytest.raises(Refused, match="dev-push is refused here"):
        app.push(users())
    assert app.rows("SELECT to_regclass('users')") == [(None,)]


def test_a_rename_that_fits_nothing_names_those_that_are_possible(filled: PushProject) -> None:
    with pytest.raises(WrongUsage) as caught:
        filled.push(users(HANDLE), renames=("users.nickname:handle",))
    assert "Possible here: users.nick:handle." in caught.value.detail


def test_a_dry_run_shows_the_plan_and_the_findings_and_writes_nothing(filled: PushProject) -> None:
    told = filled.push(users('sa.Column("age", sa.Integer)'), dry_run=True, accept=["drop-column:users.nick"])
    assert finding_ids(told) == ["drop-column:users.nick"]
    assert outcome(told) == "dry-run"
    assert filled.rows("SELECT count(nick) FROM users") == [(5,)]


def test_a_consent_that_fits_nothing_is_told_with_what_may_have_been_meant(filled: PushProject) -> None:
    said = "--accept drop-column:users.nikc: nothing of that name is found. Did you mean drop-column:users.nick?"
    filled.models(users())
    words = ("dev-push", "--dry-run", "--accept", "drop-column:users.nikc")
    done = filled.project.run(*words, check=0)
    assert f"Note     {said}\n" in done.stderr
    assert "nothing of that name" not in done.stdout
    [database] = json.loads(filled.project.run(*words, "--json", check=0).stdout)["databases"]
    assert [one["text"] for one in database["notes"] if "--accept" in one["text"]] == [said]
    done = filled.project.run(
        "dev-push", "--accept", "drop-column:users.nick", "--accept", "drop-column:users.nikc", check=0
    )
    assert "Note     --accept drop-column:users.nikc: nothing of that name is found.\n" in done.stderr
    assert "drop-column:users.nick:" not in done.stderr


def test_sql_is_shown_for_a_push_that_is_taken_back(filled: PushProject) -> None:
    told = filled.push(users(NICK, 'sa.Column("age", sa.Integer)'), sql=True)
    assert told[-1].statements == ("ALTER TABLE users ADD COLUMN age INTEGER",)
    assert filled.rows("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'age'") == [
        (0,)
    ]


def test_the_command_line_tells_target_plan_and_the_way_on(filled: PushProject) -> None:
    filled.models(users(NICK, 'sa.Column("age", sa.Integer)'))
    done = filled.project.run("dev-push", check=0)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Target   ")
    assert "Plan     + users.age  integer, nullable" in lines
    assert "No revision was written." in done.stdout
    assert done.stdout.rstrip().endswith('alembic milestone -m "what changed"')
    assert "Nothing was changed." in filled.project.run("dev-push", check=0).stdout


def test_another_branchs_revision_is_left_and_what_it_added_is_kept(app: PushProject) -> None:
    app.push("")  # so that there is a journal
    app.push(users())
    path = app.project.revision("b1", None, "branch", 'op.add_column("users", sa.Column("extra", sa.Text))',
                                'op.drop_column("users", "extra")')  # fmt: skip
    app.project.run("upgrade", "head", check=0)
    app.rows("INSERT INTO users (email, extra) VALUES ('a@x', 'kept')")
    path.unlink()
    with pytest.raises(Refused, match="stands on b1, which no revision file here has") as caught:
        app.push()
    assert caught.value.next_steps[0].command == "alembic dev-push --leave b1"
    dry = app.project.run("dev-push", "--leave", "b1", "--dry-run", check=0)
    assert "b1 would be" in dry.stdout
    assert app.rows("SELECT version_num, extra FROM alembic_version, users") == [("b1", "kept")]
    done = app.project.run("dev-push", "--leave", "b1", check=0)
    assert done.stdout.startswith("Target   ")
    assert "is at no revision; what went with it is kept" in done.stdout
    assert app.rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'users' ORDER BY 1") == [
        ("email",), ("id",),
    ]  # fmt: skip
    app.push(users('sa.Column("extra", sa.Text)'))
    assert app.rows("SELECT email, extra FROM users") == [("a@x", "kept")]


def test_a_branch_whose_downgrade_drops_by_its_own_sql_is_not_left(app: PushProject) -> None:
    app.push("")
    app.push(users())
    path = app.project.revision(
        "b1", None, "branch", """op.execute('CREATE TABLE "Raw %" (id int)')""", """op.execute('DROP TABLE "Raw %"')"""
    )
    app.project.run("upgrade", "head", check=0)
    app.rows('INSERT INTO "Raw %" VALUES (1)')
    path.unlink()
    done = app.project.run("dev-push", "--leave", "b1", check=3)
    assert "takes public.Raw %.id away by SQL of its own" in done.stderr
    assert app.rows('SELECT version_num, id FROM alembic_version, "Raw %"') == [("b1", 1)]


def test_a_dry_run_needs_a_role_that_may_only_read_and_no_shadow_on_the_targets_server(
    filled: PushProject, cluster: Cluster
) -> None:
    database = filled.dsn.rpartition("/")[2]
    role = f"reader_{database}"
    filled.rows(f'CREATE ROLE "{role}" LOGIN IN ROLE pg_read_all_data')
    filled.rows(
        f"ALTER ROLE \"{role}\" SET default_transaction_read_only = on; ALTER DATABASE {database} SET log_statement = 'all'"
    )
    ini = filled.project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("postgres@", f"{role}@"))
    try:
        before = cluster.log.stat().st_size
        told = filled.push(
            users('sa.Column("nick", sa.String(100), index=True), sa.Column("age", sa.Integer)'), dry_run=True
        )
        assert plan_lines(told) == ["+ users.age  integer, nullable"]
        assert outcome(told) == "dry-run"
        with cluster.log.open() as log:
            log.seek(before)
            said = [line.partition("statement: ")[2] or line.partition("execute <unnamed>: ")[2] for line in log]
        writes = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE", "COMMENT", "GRANT", "TRUNCATE")
        assert any(text.startswith("SELECT") for text in said)
        assert [text for text in said if text.lstrip().upper().startswith(writes)] == []
    finally:
        filled.rows(f'ALTER ROLE "{role}" RESET ALL')


def test_a_push_that_the_server_refuses_leaves_everything_as_it_was(filled: PushProject) -> None:
    filled.rows(
        "CREATE FUNCTION never() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no index today''; END';"
        " CREATE EVENT TRIGGER never ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION never()"
    )
    body = users('sa.Column("nick", sa.Text, index=True)', 'sa.Column("age", sa.Integer, index=True)')
    with pytest.raises(RevisionFailed, match="no index today") as caught:
        filled.push(body)
    assert caught.value.state.startswith("Rolled back:")
    assert filled.rows("SELECT count(*) FROM information_schema.columns WHERE column_name = 'age'") == [(0,)]
    assert filled.rows("SELECT count(*) FROM alembic_safe.pushes") == [(1,)]


def test_a_push_that_is_killed_while_it_waits_for_a_lock_did_nothing(filled: PushProject) -> None:
    filled.models(users(NICK, 'sa.Column("age", sa.Integer)') + 'sa.Table("b", metadata, sa.Column("id", sa.Integer))')
    with psycopg.connect(filled.dsn) as holder:
        holder.execute("LOCK TABLE users IN ACCESS SHARE MODE")
        process = warm.Started(["alembic", "dev-push"], filled.project.folder, os.environ)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
        eventually(lambda: filled.rows(waiting)[0][0] or process.poll() is not None)
        assert process.poll() is None
        process.kill()
        process.communicate()
    assert filled.rows("SELECT to_regclass('b'), (SELECT count(*) FROM alembic_safe.pushes)") == [(None, 1)]
    assert outcome(filled.push()) == "done"


def test_json_is_one_object_with_changes_findings_and_the_way_on(filled: PushProject) -> None:
    filled.models(users())
    done = filled.project.run("dev-push", "--json", check=3)
    said = json.loads(done.stdout)
    [database] = said["databases"]
    told = [(change["mark"], change["kind"], change["object"], change["what"]) for change in database["changes"]]
    assert told == [
        ("-", "column", "users.nick", "varchar(100), nullable"),
        ("-", "index", "ix_users_nick", "index on users btree (nick)"),
    ]
    assert [finding["id"] for finding in database["findings"]] == ["drop-column:users.nick"]
    assert said["exit_code"] == 3
    assert said["error"]["next"][-1]["command"] == "alembic dev-push --accept drop-column:users.nick"


@pytest.mark.long
def test_a_serial_key_becomes_a_bigint_identity_at_once_or_in_two_pushes(app: PushProject) -> None:
    models = 'sa.Table("s", metadata, sa.Column("id", {}, primary_key=True), sa.Column("v", sa.Integer))'
    app.push(models.format("sa.Integer"))
    app.rows("INSERT INTO s (v) VALUES (1), (2), (3); DELETE FROM s WHERE id = 3")
    counts = "SELECT data_type::text, max_value FROM pg_sequences WHERE sequencename = 's_id_seq'"
    for number, (key, type_) in enumerate(
        [
            ("sa.BigInteger, sa.Identity()", "bigint"), ("sa.Integer", "integer"), ("sa.Integer, sa.Identity()", "integer"),
            ("sa.BigInteger, sa.Identity(always=True)", "bigint"),
        ],
        start=4,
    ):  # fmt: skip
        assert outcome(app.push(models.format(key))) == "done"
        assert outcome(app.push()) == "nothing"
        assert app.rows("INSERT INTO s (v) VALUES (1) RETURNING id") == [(number,)]
        assert app.rows(counts) == [(type_, 2**31 - 1 if type_ == "integer" else 2**63 - 1)]

"""The copy: every row, once, in batches; again where it stood; paced; and what it refuses."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.exc import DBAPIError

from alembic_safe.database.copying_pacing import BatchSize, Pauses, in_window
from alembic_safe.database.copying_ranges import leaves_of
from alembic_safe.database.failures import notes_on
from alembic_safe.database.statements import quoted, session_settings
from alembic_safe.database.steps import CopyOptions
from alembic_safe.errors import CopyUnfinished, Missing, Refused
from alembic_safe.operations.backfill import BackfillOp
from alembic_safe.operations.living import find_table
from tests.cluster import VERSION
from tests.patience import eventually
from tests.stepwise import HOSTILE, Killed, Runner, Stepwise, place

__all__ = ["place"]

FILLED = (
    "CREATE TABLE t (id integer PRIMARY KEY, a text, b text);"
    "INSERT INTO t SELECT n, 'A' || n FROM generate_series(1, {}) n"
)
QUICK = CopyOptions(vacuum=False)


def left(place: Stepwise, table: str = "t") -> int:
    """How many rows have no copy."""
    return int(place.all(f"SELECT count(*) FROM {table} WHERE b IS DISTINCT FROM lower(a)")[0][0])


def count_writes(place: Stepwise, table: str = "t") -> None:
    """Let a trigger of the user write down which rows are updated."""
    place.run(
        "CREATE TABLE written (id text); CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" INSERT INTO written VALUES (NEW.id::text); RETURN NULL; END $$; CREATE TRIGGER noted AFTER UPDATE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION write_down()"
    )


KEYS = {
    "an integer": "id integer PRIMARY KEY",
    "a uuid": "id uuid PRIMARY KEY DEFAULT gen_random_uuid()",
    "text": "id text PRIMARY KEY",
    "two columns": "id integer, k text DEFAULT md5(random()::text), PRIMARY KEY (k, id)",
    "a unique key": "id text NOT NULL UNIQUE",
    "a timestamp": "id timestamptz PRIMARY KEY",
    "no key": "id integer",
    "a key that may be NULL": "id integer UNIQUE",
}
VALUE = {"a uuid": "gen_random_uuid()", "a timestamp": "now() + n * interval '1 hour'", "text": "md5(n::text)"}


@pytest.mark.parametrize("case", KEYS)
@pytest.mark.parametrize("how", ["op", "steps"])
def test_every_row_is_copied_along_every_kind_of_key(place: Stepwise, case: str, how: str) -> None:
    value = VALUE.get(case, "n::text" if "text" in KEYS[case].split(",")[0] else "n")
    place.given(
        f"CREATE TABLE t ({KEYS[case]}, a text, b text);"
        f"INSERT INTO t (id, a) SELECT {value}, 'A' || n FROM generate_series(1, 700) n"
    )
    count_writes(place)

    for _ in range(2):
        getattr(place, how)("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100)

    assert left(place) == 0
    assert place.all("SELECT count(*), count(DISTINCT id) FROM written") == [(700, 700)]
    if how == "steps":
        assert place.runner.commits >= 7 or not place.runner.events


def test_a_killed_copy_goes_on_where_it_stood(place: Stepwise) -> None:
    place.given(FILLED.format(1000))
    count_writes(place)

    for die_at in (1, 2, 4, 3, 6):
        with pytest.raises(Killed):
            place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100, die_at=die_at)
    place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100)

    assert left(place) == 0
    assert place.all("SELECT count(*), count(DISTINCT id) FROM written") == [(1000, 1000)]
    assert place.all("SELECT rows, status FROM alembic_safe_runner.copies WHERE copy NOT LIKE '%-%'") == [
        (1000, "done")
    ]


def test_what_is_done_is_not_walked_again_but_a_column_that_was_made_anew_is(place: Stepwise) -> None:
    place.given(FILLED.format(300))
    place.steps("backfill", "t", set_={"b": "lower(a)"})
    place.steps("backfill", "t", set_={"b": "lower(a)"})
    assert [event.doing for event in place.runner.events] == []

    place.run("ALTER TABLE t DROP b; ALTER TABLE t ADD b text")
    place.steps("backfill", "t", set_={"b": "lower(a)"})

    assert left(place) == 0


@pytest.mark.parametrize("how", ["op", "steps"])
def test_what_stands_in_the_strings_of_an_expression_is_no_business_of_the_batches(place: Stepwise, how: str) -> None:
    place.given(FILLED.format(250))
    expression = """replace(lower(a), '"', ':after_0')"""
    getattr(place, how)("backfill", "t", set_={"b": expression}, where="b IS NULL AND a <> '\"'", batch_rows=100)
    assert left(place) == 0


def test_rows_that_come_later_are_left_to_who_writes_them(place: Stepwise) -> None:
    place.given(FILLED.format(300))
    with pytest.raises(Killed):
        place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100, die_at=3)
    place.run("INSERT INTO t VALUES (5000, 'Z')")

    place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100)

    assert left(place) == 1


def test_a_partitioned_table_is_copied_partition_by_partition(place: Stepwise) -> None:
    place.given(
        "CREATE SCHEMA s; CREATE TABLE t (id integer, a text, b text) PARTITION BY RANGE (id);"
        'CREATE TABLE s."P%1" PARTITION OF t'
        " FOR VALUES FROM (0) TO (100); CREATE TABLE p2 PARTITION OF t DEFAULT; ALTER TABLE p2 ADD PRIMARY KEY (id);"
        "INSERT INTO t SELECT n, 'A' || n FROM generate_series(1, 500) n"
    )

    for die_at in (2, 5):
        with pytest.raises(Killed):
            place.steps("backfill", "t", set_={"b": "lower(t.a)"}, batch_rows=50, die_at=die_at)
    place.steps("backfill", "t", set_={"b": "lower(t.a)"}, batch_rows=50)

    assert left(place) == 0


def test_several_workers_share_the_rows(place: Stepwise) -> None:
    place.given(FILLED.format(12_000) + "; ANALYZE t")
    count_writes(place)

    place.steps("backfill", "t", set_={"b": "lower(a)"}, options=CopyOptions(workers=3, vacuum=False))

    assert left(place) == 0
    assert place.all("SELECT count(*), count(DISTINCT id) FROM written") == [(12_000, 12_000)]
    assert place.all("SELECT count(*) FROM alembic_safe_runner.copies WHERE copy LIKE '%-%'") == [(3,)]


def test_an_error_of_one_worker_ends_all_of_them_and_is_the_one_that_is_told(place: Stepwise) -> None:
    place.given(FILLED.format(12_000) + "; ANALYZE t; UPDATE t SET a = 'x' WHERE id = 11000")

    with pytest.raises(Exception, match="invalid input syntax for type integer"):
        place.steps("backfill", "t", set_={"b": "substr(a, 2)::integer + CASE a WHEN 'x' THEN 'y'::text::integer ELSE 0 END"},
                    options=CopyOptions(workers=3, vacuum=False))  # fmt: skip


def test_a_resumed_copy_keeps_to_the_ranges_of_the_first_run(place: Stepwise) -> None:
    place.given(FILLED.format(12_000) + "; ANALYZE t")
    with pytest.raises(Killed):
        place.steps("backfill", "t", set_={"b": "lower(a)"}, options=CopyOptions(workers=3, vacuum=False), die_at=2)

    place.steps("backfill", "t", set_={"b": "lower(a)"}, options=QUICK)

    assert left(place) == 0


def test_time_that_is_over_ends_it_behind_a_batch_and_the_next_run_goes_on(place: Stepwise) -> None:
    place.given(FILLED.format(500))

    with pytest.raises(CopyUnfinished, match=r"public\.t: 100 of about \d+ rows are done") as error:
        place.steps(
            "backfill", "t", set_={"b": "lower(a)"}, batch_rows=100, options=CopyOptions(vacuum=False, max_time=0.0)
        )
    assert error.value.exit_code == 9
    assert left(place) == 400

    place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100)
    assert left(place) == 0


def test_a_row_that_somebody_holds_is_waited_for_without_holding_others(place: Stepwise) -> None:
    place.given(FILLED.format(300))
    with place.cluster.connect(place.name, autocommit=False) as holder:
        holder.execute("UPDATE t SET a = 'Held' WHERE id = 150")
        release = threading.Timer(1.0, holder.commit)
        release.start()

        place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100)

        release.join()
    assert left(place) == 0
    assert place.all("SELECT b FROM t WHERE id = 150") == [("held",)]


def test_in_the_caller_s_transaction_a_lock_that_is_not_had_is_the_caller_s_error(place: Stepwise) -> None:
    place.given(FILLED.format(300))
    place.run(f"ALTER DATABASE {quoted(place.name)} SET lock_timeout = '100ms'")
    with place.cluster.connect(place.name, autocommit=False) as holder:
        holder.execute("UPDATE t SET a = 'Held' WHERE id = 150")

        with pytest.raises(Exception, match="canceling statement due to lock timeout"):
            place.op("backfill", "t", set_={"b": "lower(a)"})

    assert left(place) == 300


def test_dead_rows_are_vacuumed_away_as_it_goes(place: Stepwise) -> None:
    place.given(FILLED.format(150_000).replace("'A' || n", "repeat('A', 150)") + "; ANALYZE t")
    before = place.all("SELECT pg_relation_size('t')")[0][0]

    place.steps("backfill", "t", set_={"b": "'x'"}, options=CopyOptions(), batch_rows=5000)

    assert place.all("SELECT pg_relation_size('t')")[0][0] < 1.5 * before
    eventually(lambda: place.all("SELECT pg_stat_get_vacuum_count('t'::regclass) > 0")[0][0], "a vacuum")


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ends", ["the time", "the deploy"])
def test_a_vacuum_is_waited_for_only_while_the_copy_may_go_on(place: Stepwise, ends: str, workers: int) -> None:
    place.given(FILLED.format(45_000) + "; ALTER TABLE t SET (autovacuum_enabled = false); ANALYZE t")
    for name, value in (("delay", "100ms"), ("limit", "1")):  # it takes minutes
        place.run(f"ALTER DATABASE {quoted(place.name)} SET vacuum_cost_{name} = '{value}'")
    options = CopyOptions(workers=workers, max_time=10.0 if ends == "the time" else None)
    die_at = 13 if ends == "the deploy" else None  # behind the last batch of one worker

    with pytest.raises(CopyUnfinished if ends == "the time" else Killed):
        place.steps("backfill", "t", set_={"b": "lower(a)"}, options=options, batch_rows=5000, die_at=die_at)

    assert "vacuuming" in {event.doing for event in place.runner.events}
    eventually(lambda: place.all("SELECT count(*) FROM pg_stat_progress_vacuum") == [(0,)], "the end of the vacuum")


def test_progress_tells_rows_rate_and_the_time_that_remains(place: Stepwise) -> None:
    place.given(FILLED.format(2000) + "; ANALYZE t")

    place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100)

    first, last = place.runner.events[0], place.runner.events[-1]
    assert (first.doing, first.table, first.total) == ("copying", "public.t", 2000)
    assert first.rate > 0
    assert first.remaining is not None
    assert (last.doing, last.rows) == ("done", 2000)


# --- pacing ---


def paused_by(place: Stepwise, options: CopyOptions) -> str:
    """Run a copy that has a reason to wait, until its time is over; return the reason."""
    if not place.scripts:
        place.given(FILLED.format(300))
    with pytest.raises(CopyUnfinished):
        place.steps("backfill", "t", set_={"b": "lower(a)"}, batch_rows=100, options=replace(options, max_time=0.2))
    reasons = [event.reason for event in place.runner.events if event.doing == "pausing"]
    assert reasons
    return reasons[0]


def test_it_waits_while_a_condition_of_the_user_is_true(place: Stepwise) -> None:
    options = CopyOptions(vacuum=False, condition="EXISTS (SELECT FROM t WHERE a = 'A1:x' OR true)")

    assert paused_by(place, options).startswith("your condition is true: EXISTS")


def test_it_waits_outside_its_window(place: Stepwise) -> None:
    minute = datetime.now(timezone.utc).strftime("%H:%M")

    # a window that is over the moment it begins
    assert (
        paused_by(place, CopyOptions(vacuum=False, window=(minute, minute)))
        == f"it may run between {minute} and {minute} UTC"
    )


def test_it_waits_while_a_slot_holds_back_too_much(place: Stepwise) -> None:
    place.given(FILLED.format(300))
    place.run("SELECT pg_create_physical_replication_slot('slow', true)")
    try:
        place.run(
            "SET synchronous_commit = on; UPDATE t SET a = a"
        )  # what is only going to be written counts for nothing
        reason = paused_by(place, CopyOptions(vacuum=False, most_slot_bytes=1000))
    finally:
        place.run("SELECT pg_drop_replication_slot('slow')")
    assert reason.startswith("replication slot slow holds back")


def test_it_lets_a_session_through_that_waits_for_the_table(place: Stepwise) -> None:
    place.given(FILLED.format(300))
    with place.cluster.connect(place.name, autocommit=False) as holder:
        holder.execute("LOCK TABLE t IN ROW SHARE MODE")
        waiting = threading.Thread(target=place.run, args=["BEGIN; LOCK TABLE t IN EXCLUSIVE MODE; COMMIT"])
        waiting.start()
        place.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        with place.engine.connect() as c, place.cluster.connect(place.name) as lookout:
            table = find_table(c, "t", None)
            assert table is not None
            pauses = Pauses(lookout, leaves_of(c, table, None), CopyOptions(), lambda: "")
            reason = pauses.look()
        holder.rollback()
        waiting.join()
    assert reason == "another session waits for a lock on the table"


def test_a_person_can_make_it_wait(place: Stepwise, monkeypatch: pytest.MonkeyPatch) -> None:
    place.given(FILLED.format(300))
    place.run("CREATE TABLE pauses (why text); INSERT INTO pauses VALUES ('month end')")

    def paused(self: Runner, connection: object, copy: str) -> str:
        del connection, copy
        return str(self.living.all("SELECT why FROM pauses")[0][0])

    monkeypatch.setattr(Runner, "paused", paused)

    assert paused_by(place, QUICK) == "month end"


@pytest.mark.parametrize("fails", [False, True])
def test_parameters_of_batches_are_put_back_whatever_ended_them(place: Stepwise, *, fails: bool) -> None:
    def shown() -> str:
        with connection.begin():
            return str(connection.exec_driver_sql("SHOW lock_timeout").scalar_one())

    with place.engine.connect() as connection:
        before = shown()
        with suppress(DBAPIError), session_settings(connection, {"lock_timeout": "7s"}):
            assert shown() == shown() == "7s"
            connection.begin()
            if fails:
                connection.exec_driver_sql("SELECT 1/0")
        assert not connection.in_transaction()
        assert shown() == before != "7s"


@pytest.mark.parametrize("style", ["SQL, DMY", "German"])
def test_dates_are_keys_whatever_the_database_writes_them_like(place: Stepwise, style: str) -> None:
    place.given(
        "CREATE TABLE t (at timestamptz PRIMARY KEY, a integer, n integer);"
        " INSERT INTO t SELECT timestamptz '2031-01-05 10:00Z' + g * interval '1 day', g FROM generate_series(1, 300) g"
    )
    place.run(f"ALTER DATABASE {place.name} SET datestyle = '{style}'")
    place.run(f"ALTER DATABASE {place.name} SET timezone = 'America/New_York'")

    place.steps("backfill", "t", set_={"n": "a"}, batch_rows=100)

    assert place.all("SELECT count(*) FROM t WHERE n IS DISTINCT FROM a") == [(0,)]


def test_the_size_of_a_batch_follows_its_time() -> None:
    size = BatchSize(0.02, size=500)
    for _ in range(3):
        size.took(size.size * 0.02 / 5000)
    assert size.size == 4000
    for _ in range(60):
        size.took(size.size * 0.02 / 3000)
    assert 2500 < size.size < 4800


def test_a_batch_is_never_so_small_that_its_commit_is_most_of_it() -> None:
    size = BatchSize(0.02, size=500)
    for _ in range(60):
        size.took(1.0)
    assert size.size == 200


def test_after_a_collision_it_may_be_a_single_row_and_grows_again() -> None:
    size = BatchSize(0.02, size=500)
    for _ in range(9):
        size.collided()
    assert size.size == 1
    for _ in range(99):
        size.took(0.001)
    assert size.size > 500
    for _ in range(99):
        size.took(1.0)
    assert size.size == 200


def test_a_size_that_is_said_stays() -> None:
    size = BatchSize(0.02, size=7, fixed=True)
    size.took(10)
    assert size.size == 7


@pytest.mark.parametrize(
    ("window", "at", "inside"),
    [(("09:00", "17:00"), 12, True), (("09:00", "17:00"), 17, False), (("22:00", "05:30"), 23, True),
     (("22:00", "05:30"), 4, True), (("22:00", "05:30"), 12, False)],
)  # fmt: skip
def test_windows_may_go_over_midnight(window: tuple[str, str], at: int, inside: bool) -> None:
    assert in_window(window, datetime(2024, 1, 1, at, tzinfo=timezone.utc)) is inside


# --- together with a sync ---


def test_what_the_new_application_wrote_is_never_copied_over(place: Stepwise) -> None:
    place.given(FILLED.format(5))
    place.op("sync_columns", "t", "a", "b", up="lower(a)", down="b")
    place.run("UPDATE t SET b = 'New' WHERE id = 2; INSERT INTO t (id, b) VALUES (9, 'Nine')")

    for how in (place.op, place.steps):
        how("backfill", "t", set_={"b": "lower(a)"})

    assert place.all("SELECT id, a, b FROM t ORDER BY id") == [
        (1, "A1", "a1"), (2, "New", "New"), (3, "A3", "a3"), (4, "A4", "a4"), (5, "A5", "a5"), (9, "Nine", "Nine"),
    ]  # fmt: skip


def test_a_copy_that_says_something_else_than_the_sync_is_refused(place: Stepwise) -> None:
    place.given(FILLED.format(5))
    place.op("sync_columns", "t", "a", "b", up="lower(a)", down="b")

    with pytest.raises(Refused, match=r"set_ is not what op\.sync_columns says"):
        place.op("backfill", "t", set_={"b": "upper(a)"})
    with pytest.raises(Refused, match="are in sync, and set_ writes a"):
        place.op("backfill", "t", set_={"a": "upper(b)"})


# --- triggers of the user ---


def test_triggers_that_the_copy_fires_are_named(place: Stepwise, caplog: pytest.LogCaptureFixture) -> None:
    place.given(FILLED.format(5))
    count_writes(place)
    place.run("CREATE TRIGGER elsewhere AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION write_down()")

    place.steps("backfill", "t", set_={"b": "lower(a)"})

    named = [record.getMessage() for record in caplog.records if "fires trigger" in record.getMessage()]
    assert named == [
        "The copy fires trigger noted of public.t for every row that it writes; quiet=True keeps it from that"
    ]


@pytest.mark.parametrize("how", ["op", "steps"])
def test_a_quiet_copy_fires_none_of_them_and_the_sync_goes_on(place: Stepwise, how: str) -> None:
    place.given(FILLED.format(5))
    count_writes(place)
    place.op("sync_columns", "t", "a", "b", up="lower(a)", down="b")

    getattr(place, how)("backfill", "t", set_={"b": "lower(a)"}, quiet=True)
    place.run("UPDATE t SET a = 'Q' WHERE id = 1")

    assert left(place) == 0
    assert place.all("SELECT id FROM written") == [("1",)]


def test_a_quiet_copy_needs_the_right_and_no_foreign_key(place: Stepwise) -> None:
    place.given(
        FILLED.format(5)
        + "; CREATE TABLE f (b text PRIMARY KEY); ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (b) REFERENCES f"
    )
    place.run("DO $$ BEGIN CREATE ROLE app_writer LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;")
    place.run("CREATE TABLE u (id integer PRIMARY KEY, a text, b text); ALTER TABLE u OWNER TO app_writer")

    with pytest.raises(Refused, match="switch off the check of foreign key fk"):
        place.op("backfill", "t", set_={"b": "a"}, quiet=True)
    with pytest.raises(Missing, match="role app_writer lacks") as error:
        place.op("backfill", "u", set_={"b": "a"}, quiet=True, user="app_writer")
    assert 'GRANT SET ON PARAMETER session_replication_role TO "app_writer";' in str(error.value)
    place.run("DROP TABLE u")


# --- what is said where a row does not take it ---


PICKY = (
    "CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 3 THEN RAISE 'not this one'; END IF;"
    " RETURN NEW; END $$; CREATE TRIGGER picky BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION picky()"
)
IDLE = PICKY.replace("NEW.id = 3", "false").replace("picky", "idle")
FAILING: dict[str, tuple[str, str, str]] = {
    "a trigger of somebody's": (PICKY, "lower(a)", "what failed is function picky()"),
    "a check": (
        "ALTER TABLE t ADD CONSTRAINT few CHECK (id <> 3) NOT VALID", "lower(a)", "PostgreSQL names constraint few",
    ),
    "its formula": ("SELECT 1", "(1 / (id - 3))::text", "PostgreSQL does not say what failed"),
    "its formula, or else a trigger": (
        IDLE, "(1 / (id - 3))::text",
        "PostgreSQL does not say what failed, and every row that is written also runs trigger idle",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ["op", "steps", "workers"])
@pytest.mark.parametrize("case", FAILING)
def test_what_failed_is_what_postgresql_says_and_no_column_is_blamed(place: Stepwise, case: str, how: str) -> None:
    given, formula, what = FAILING[case]
    place.given(FILLED.format(12000 if how == "workers" else 5) + f"; {given}; ANALYZE t")
    options: dict[str, Any] = {"options": CopyOptions(workers=3, vacuum=False)} if how == "workers" else {}

    with pytest.raises(Exception, match=r"not this one|few|division by zero") as error:
        getattr(place, "op" if how == "op" else "steps")("backfill", "t", set_={"b": formula}, **options)
    assert notes_on(error.value) == (f"It was the copy of b in public.t; {what}.",)


@pytest.mark.parametrize(
    ("up", "what"),
    [
        (
            "c::integer",
            "PostgreSQL does not say what failed, and every row that is written also runs the sync of c -> d",
        ),
        # a formula that is not the same in every session stands in the function, not in the trigger's WHEN
        ("c::integer + (date_part('year', now()) * 0)::integer", "what failed is the sync of c -> d"),
    ],
)
def test_the_sync_of_other_columns_is_named_and_not_the_copied_ones(place: Stepwise, up: str, what: str) -> None:
    place.given(FILLED.format(5) + "; ALTER TABLE t ADD c text, ADD d integer; UPDATE t SET c = 'x' WHERE id = 3")
    place.op("sync_columns", "t", "c", "d", up=up, down="d::text")

    with pytest.raises(Exception, match='invalid input syntax for type integer: "x"') as error:
        place.steps("backfill", "t", set_={"b": "lower(a)"})
    assert notes_on(error.value) == (f"It was the copy of b in public.t; {what}.",)


# --- what it refuses, and names ---


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "volatile": ({"set_": {"b": "random()::text"}}, "says something else each time"),
    "no such column": ({"set_": {"z": "a"}}, "there is no column z"),
    "generated": ({"set_": {"g": "a"}}, "g is a generated column"),
    "no key": ({"set_": {"b": "a"}, "key": "a"}, "is no key"),
    "a key and what may be NULL": ({"set_": {"b": "a"}, "key": ("a", "id")}, "is no key"),
    "a key and what is not there": ({"set_": {"b": "a"}, "key": ("id", "z")}, "is no key"),
    "no SQL": ({"set_": {"b": "a ||"}}, "is no expression over the columns"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_copied_is_refused_with_the_reason(place: Stepwise, case: str) -> None:
    words, why = REFUSED[case]
    place.given(FILLED.format(5) + "; ALTER TABLE t ADD g text GENERATED ALWAYS AS (a) STORED")

    with pytest.raises(Refused, match=why):
        place.op("backfill", "t", **words)


def test_a_volatile_expression_with_a_where_gives_every_row_its_own_value_once(place: Stepwise) -> None:
    place.given(FILLED.format(300))

    for die_at in (3, 2):
        with pytest.raises(Killed):
            place.steps(
                "backfill", "t", set_={"b": "gen_random_uuid()"}, where="b IS NULL", batch_rows=100, die_at=die_at
            )
    place.steps("backfill", "t", set_={"b": "gen_random_uuid()"}, where="b IS NULL", batch_rows=100)
    before = place.all("SELECT id, b FROM t ORDER BY id")
    place.op("backfill", "t", set_={"b": "gen_random_uuid()"}, where="b IS NULL")

    assert len({b for _, b in before}) == 300
    assert place.all("SELECT id, b FROM t ORDER BY id") == before


def test_a_table_altered_behind_a_stock_copy_in_one_transaction(place: Stepwise) -> None:
    place.given(
        "CREATE TABLE f (b text PRIMARY KEY); INSERT INTO f VALUES ('x'); CREATE TABLE t (id integer PRIMARY KEY, a text,"
        " b text REFERENCES f DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (1, 'x')"
    )
    with place.engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        op.invoke(BackfillOp("t", set_={"b": "a"}))
        op.execute("ALTER TABLE t ADD c integer")

    assert place.all("SELECT b FROM t") == [("x",)]


def test_a_script_and_a_reverse_are_refused_with_the_reason(place: Stepwise) -> None:
    with pytest.raises(Refused, match=r"op\.backfill cannot be written as a script"):
        place.script("backfill", "t", set_={"b": "a"})
    with pytest.raises(NotImplementedError, match="has no reverse"):
        BackfillOp("t", set_={"b": "a"}).reverse()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("how", ["op", "steps"])
def test_hostile_names_in_a_schema_off_the_search_path(place: Stepwise, name: str, how: str) -> None:
    q = quoted(name)
    place.given(
        f"CREATE SCHEMA {q}; CREATE TABLE {quoted(name, name)} ({q} text PRIMARY KEY, a text, b text);"
        f"INSERT INTO {quoted(name, name)} SELECT 'k%:''\\' || n, 'A:%' || n FROM generate_series(1, 250) n"
    )

    getattr(place, how)(
        "backfill", name, set_={"b": "lower(a) || ':x%'", "a": f"{q}"}, schema=name, batch_rows=100, where="a <> 'a:b%'"
    )

    assert place.all(f"SELECT count(*) FROM {quoted(name, name)} WHERE b ~ '^a:%[0-9]+:x%$' AND a = {q}") == [(250,)]


@pytest.mark.parametrize("how", ["op", "steps"])
def test_nulls_of_a_column_that_can_hold_none_are_not_looked_for(place: Stepwise, how: str) -> None:
    place.given(f"{FILLED.format(20)}; UPDATE t SET b = a; ALTER TABLE t ALTER b SET NOT NULL, DROP a")

    getattr(place, how)("backfill", "t", set_={"b": "lower(a)"}, where="b IS NULL")

    with pytest.raises(Refused, match='column "a" does not exist'):
        getattr(place, how)("backfill", "t", set_={"b": "lower(a)"}, where="b IS NULL OR b = ''")


@pytest.mark.parametrize("how", ["op", "steps"])
def test_nulls_under_a_not_null_that_nobody_has_validated_are_filled(place: Stepwise, how: str) -> None:
    place.given(FILLED.format(20))
    if VERSION >= 18:  # before, there is none that is not validated
        place.run("ALTER TABLE t ADD CONSTRAINT later NOT NULL b NOT VALID")

    getattr(place, how)("backfill", "t", set_={"b": "lower(a)"}, where="b IS NULL")

    assert left(place) == 0

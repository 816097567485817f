"""A column gets another type, and with it another default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from alembic_safe.errors import Refused
from tests.recipe_cases import assert_same, milestone, stop_everywhere, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

STATES = sa.Enum("open", "paid", name="state")
CHANGES: dict[str, tuple[Any, Any, Any, Any, str, str]] = {
    "a word becomes a truth": (
        sa.String(10), "active", sa.Boolean(), sa.true(), "c = 'active'", "CASE WHEN c THEN 'active' ELSE 'off' END",
    ),
    "a text becomes an array": (
        sa.Text(), "", sa.ARRAY(sa.String), "{}", "string_to_array(c, ',')", "array_to_string(c, ',')",
    ),
    "a word becomes an enum": (
        sa.String(20), "draft", STATES, "open", "(CASE c WHEN 'draft' THEN 'open' ELSE c END)::state", "c::text",
    ),
    "an enum becomes a word": (STATES, "open", sa.String(20), "draft", "c::text", "c::state"),
    "a number becomes a truth": (sa.Integer(), "1", sa.Boolean(), sa.true(), "c <> 0", "c::integer"),
    "a number becomes a text": (sa.Integer(), "0", sa.Text(), "none", "c::text", "c::integer"),
    "a default comes": (
        sa.String(36), None, sa.Uuid(), sa.text("gen_random_uuid()"), "c::uuid", "c::text",
    ),
    "a function of another": (
        sa.Date(), sa.func.current_date(), sa.DateTime(), sa.func.now(), "c::timestamp", "c::date",
    ),
}  # fmt: skip
ROWS = {
    "a word becomes a truth": ("active", "off"), "a text becomes an array": ("a,b", "c"),
    "a word becomes an enum": ("open", "paid"), "an enum becomes a word": ("open", "paid"),
    "a number becomes a truth": (1, 0), "a number becomes a text": (1, 2),
    "a default comes": ("a" * 8 + "-aaaa-aaaa-aaaa-" + "a" * 12, "b" * 8 + "-bbbb-bbbb-bbbb-" + "b" * 12),
    "a function of another": ("2026-01-01", "2026-01-02"),
}  # fmt: skip


def models(type_: Any, default: Any, **info: str) -> sa.MetaData:
    metadata = sa.MetaData()
    column: Any = sa.Column("c", type_, nullable=False, server_default=default, info=info)
    sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
    return metadata


def both(name: str) -> tuple[sa.MetaData, sa.MetaData, str]:
    old, was, new, becomes, up, down = CHANGES[name]
    rows = ", ".join(f"({n}, '{value}')" for n, value in enumerate(ROWS[name]))
    return models(old, was), models(new, becomes, up=up, down=down), f"INSERT INTO t VALUES {rows}"


def default_of(case: Case) -> Any:
    sql = "SELECT column_default FROM information_schema.columns WHERE table_name = 't' AND column_name = 'c'"
    return case.run(sql)[0][0]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.cases("a word becomes a truth", "an enum becomes a word", "a default comes")
def test_the_default_is_what_the_models_say_and_on_the_way_back_what_it_was(case: Case, name: str) -> None:
    walk(case, *both(name))


@pytest.mark.cases("a word becomes an enum")
@pytest.mark.parametrize("name", CHANGES)
def test_a_milestone_gives_the_column_its_default_in_the_moment_of_the_swap(case: Case, name: str) -> None:
    old, new, rows = both(name)
    texts = milestone(case, old, new, rows)
    before = default_of(case)
    assert texts["contract"].count("defaults={'c': ") == 2
    case.upgrade()
    case.ship()
    for _ in range(2):
        case.upgrade()
        assert_same(case.created(new), case.catalog, "the end")
        case.downgrade("-1")
        assert default_of(case) == before


def test_no_row_gets_another_default_and_a_contract_goes_on_wherever_it_stopped(case: Case) -> None:
    old, new, rows = both("a word becomes a truth")
    case.begin(old, rows)
    texts = case.revise(new)
    case.upgrade()
    case.run("INSERT INTO t (id) VALUES (7)")
    assert case.run("SELECT c, c_new FROM t WHERE id = 7") == [("active", True)]
    assert "op.swap_columns('t', 'c', 'c_new', defaults={'c': 'true'})" in texts["contract"]
    assert "'c', 'c_new', defaults={'c': \"'active'::character varying\"})" in texts["contract"]
    case.ship()
    assert stop_everywhere(case, new, "contract") > 2


def test_a_default_that_no_models_say_goes_along_and_is_what_it_was_on_the_way_back(case: Case) -> None:
    case.begin(models(sa.Integer(), "1"), "INSERT INTO t VALUES (1, 0)")
    case.revise(models(sa.Boolean(), None, up="c <> 0", down="c::integer"))
    case.upgrade()
    case.ship()
    for _ in range(2):
        assert default_of(case) == "1"
        case.upgrade()
        assert default_of(case) == "(1)::boolean"
        case.downgrade("-1")
    assert default_of(case) == "1"


@pytest.mark.parametrize("type_", [sa.Boolean(), sa.Enum("open", "paid", name="state")], ids=str)
def test_a_default_of_no_use_to_the_type_is_refused_where_nobody_says_another(case: Case, type_: Any) -> None:
    case.begin(models(sa.String(10), "draft"))
    with (
        case.unchanged(),
        pytest.raises(Refused, match=r"t\.c becomes \w+, which does not take its default, 'draft'::character varying"),
    ):
        case.revise(models(type_, None, up="(c = 'paid')::text::state", down="c::text"))


COUNTING = (
    "CREATE SEQUENCE s OWNED BY t.c; ALTER TABLE t ALTER c SET DEFAULT nextval('s'); INSERT INTO t (id) VALUES (1)"
)


def test_a_sequence_that_says_nothing_to_the_type_gives_way_and_counts_on_when_it_is_back(case: Case) -> None:
    case.begin(models(sa.Integer(), None), COUNTING)
    case.revise(models(sa.Boolean(), sa.true(), up="c > 0", down="c::integer"))
    case.upgrade()
    case.ship()
    for _ in range(2):
        case.upgrade()
        assert default_of(case) == "true"
        case.downgrade("-1")
    case.run("INSERT INTO t (id) VALUES (2)")
    assert case.run("SELECT c FROM t ORDER BY id") == [(1,), (2,)]


def test_a_sequence_that_says_nothing_to_the_type_is_refused_where_nobody_says_another_default(case: Case) -> None:
    case.begin(models(sa.Integer(), None), COUNTING)
    with case.unchanged(), pytest.raises(Refused, match="does not take its default, nextval"):
        case.revise(models(sa.Boolean(), None, up="c > 0", down="c::integer"))


def labelled(labels: tuple[str, ...], default: str, **info: Any) -> sa.MetaData:
    """Return models with a column of an enum that has a default."""
    metadata = sa.MetaData()
    column = sa.Column("st", sa.Enum(*labels, name="st"), nullable=False, server_default=default, info=info)
    sa.Table("jobs", metadata, sa.Column("id", sa.Integer, primary_key=True), column)
    return metadata


JOBS = "INSERT INTO jobs (id) VALUES (1), (2)"


@pytest.mark.parametrize("compares", [True, False], ids=["compared", "not compared"])
@pytest.mark.parametrize(
    ("labels", "default", "said"),
    [(("fresh", "done"), "fresh", {"open": "fresh"}), (("new", "done"), "new", {"open": "done"})],
    ids=["renamed", "another one"],
)
@pytest.mark.cases("renamed-compared", "another one-compared", "another one-not compared")
def test_a_default_changes_together_with_the_labels(
    case: Case, labels: tuple[str, ...], default: str, said: dict[str, str], compares: bool
) -> None:
    """The server cannot say whether a label of today equals one that it does not know."""
    case.config.attributes["compares_defaults"] = compares
    walk(case, labelled(("open", "done"), "open"), labelled(labels, default, enum=said), JOBS)
    assert case.run("INSERT INTO jobs (id) VALUES (3) RETURNING st") == [(default,)]


def test_a_label_that_comes_may_be_the_default_at_once(case: Case) -> None:
    case.config.attributes["compares_defaults"] = True
    walk(case, labelled(("low", "high"), "low"), labelled(("low", "high", "none"), "none"), JOBS)


def test_a_default_that_the_old_type_cannot_be_compared_with_changes_with_the_type(case: Case) -> None:
    case.config.attributes["compares_defaults"] = True

    new = models(sa.Boolean, sa.true(), up="c = 1", down="c::integer::smallint")
    walk(case, models(sa.SmallInteger, "1"), new, "INSERT INTO t (id) VALUES (1), (2)")


def test_a_default_of_a_type_without_equality_is_no_difference(case: Case) -> None:
    case.config.attributes["compares_defaults"] = True
    metadata = sa.MetaData()
    columns = [sa.Column("a", sa.JSON, server_default="{}"), sa.Column("b", sa.JSON, server_default=sa.text("'[]'"))]
    sa.Table("jobs", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
    case.begin(metadata)
    case.check(metadata)


def key(type_: Any, **info: str) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("t", metadata, sa.Column("c", type_, primary_key=True, info=info), sa.Column("v", sa.Integer))
    return metadata


def compares(case: Case, how: str) -> None:
    """Let autogenerate compare defaults."""
    env = case.folder / "migrations" / "env.py"
    said = 'compare_server_default=config.attributes.get("compares_defaults", False)'
    assert said in env.read_text()
    env.write_text(env.read_text().replace(said, f"compare_server_default={how}"))


@pytest.mark.parametrize("how", ["True", "lambda *_: None", "lambda *_: True"])
@pytest.mark.parametrize("old", [sa.Integer(), sa.BigInteger()], ids=str)
@pytest.mark.cases("INTEGER-True", "BIGINT-lambda *_: None")
def test_a_key_that_is_no_whole_number_any_more_stops_counting_in_the_moment_of_the_swap(
    case: Case, old: Any, how: str
) -> None:
    compares(case, how)
    case.begin(key(old), "INSERT INTO t (v) VALUES (1), (2)")
    new = key(sa.Numeric())
    texts = case.revise(new)
    assert "defaults={'c': None}" in texts["contract"]
    case.upgrade()
    case.check(new)
    case.run("INSERT INTO t (v) VALUES (3)")
    case.ship()
    for _ in range(2):
        case.upgrade()
        assert default_of(case) is None
        case.check(new)  # nothing is left for a further revision
        case.downgrade("-1")
        assert default_of(case) == "nextval('t_c_seq'::regclass)"
    case.run("INSERT INTO t (v) VALUES (4)")
    assert case.run("SELECT c FROM t ORDER BY c") == [(1,), (2,), (3,), (4,)]


def test_a_milestone_lets_a_key_that_is_no_whole_number_any_more_stop_counting(case: Case) -> None:
    old, new = key(sa.Integer()), key(sa.Numeric())
    texts = milestone(case, old, new, "INSERT INTO t (v) VALUES (1)")
    assert "defaults={'c': None}" in texts["contract"]
    case.upgrade()
    case.ship()
    case.upgrade()
    assert default_of(case) is None
    case.downgrade("-1")
    assert default_of(case) == "nextval('t_c_seq'::regclass)"


@pytest.mark.parametrize("how", ["False", "lambda *_: False"])
def test_a_sequence_goes_along_where_nobody_compares_defaults(case: Case, how: str) -> None:
    compares(case, how)
    case.begin(key(sa.Integer()), "INSERT INTO t (v) VALUES (1)")
    case.revise(key(sa.Numeric()))
    case.upgrade()
    case.ship()
    case.upgrade()
    assert default_of(case) == "nextval('t_c_seq'::regclass)"


@pytest.mark.parametrize(
    ("old", "new", "rows", "counts"),
    [
        (models(sa.Integer(), None), models(sa.BigInteger(), None), COUNTING, "nextval('s'::regclass)"),
        (key(sa.Integer()), key(sa.SmallInteger(), up="c::smallint", down="c::integer"), "", "nextval('t_c_seq'::regclass)"),
    ],
    ids=["by hand", "of a key"],
)  # fmt: skip
def test_a_whole_number_that_counts_with_a_sequence_of_its_own_goes_on_counting(
    case: Case, old: sa.MetaData, new: sa.MetaData, rows: str, counts: str
) -> None:
    compares(case, "True")
    case.begin(old, rows)
    case.revise(new)
    case.upgrade()
    case.ship()
    case.upgrade()
    assert default_of(case) == counts
    case.check(new)


def test_a_sequence_that_says_nothing_to_the_type_goes_where_defaults_are_compared(case: Case) -> None:
    compares(case, "True")
    case.begin(models(sa.Integer(), None), COUNTING)
    case.revise(models(sa.Boolean(), None, up="c > 0", down="c::integer"))
    case.upgrade()
    case.ship()
    case.upgrade()
    assert default_of(case) is None
    case.downgrade("-1")
    assert default_of(case) == "nextval('s'::regclass)"

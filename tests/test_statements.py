"""Does SQL with somebody's words in it reach the server to the letter, and each parameter its place?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alembic_safe.database.reads import Reads
from alembic_safe.database.statements import run, run_at_once, run_counting
from alembic_safe.operations.kept import verbatim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from tests.cluster import Cluster

HOSTILE = {
    "a double quote in a string": "replace('a\"b', '\"', ':p')",
    "two of them, and a colon between": "'\" :p \"' || '\"'",
    "a string in a name": """(SELECT ":'p" FROM (SELECT 'it''s :p'::text AS ":'p") AS "x"":y")""",
    "escaped quotes": r"E'\'' || E'it''s \" :p' || E'\\' || e'\:p'",
    "a word that ends in e before a string": r"text'\' || date'2020-01-01'::text || ' \: '",
    "a comment": "'a' /* it's \" :p */ || 'b'",
    "a comment in a comment": "'a' /* /* it's */ \" :p */ || ':p'",
    "a comment to the end of the line": "'a' -- it's \" :p\n || ':p'",
    "what is no comment": "'--' || '/*' || ':p' || 1 - -1",
    "dollars": "$$it's \" :p$$::text || $a$ $$ ' $a$ || $ä$:p$ä$",
    "a colon before the dollars that end it": "$$:$$::text::varchar || $a$\\:b:$a$",
    "dollars in a name": "(SELECT a$b$c FROM (SELECT ':p$b$' AS a$b$c) AS x)",
    "percent signs": "'%s %(p)s %% \"%' || ' 50% '",
    "backslashes before colons": "'\\:p \\' || E'\\\\:p'",
    "a slice": "(ARRAY['\"', ':p'])[1:2]::text[]::text",
    "a time of day": "'2020-01-01 12:30:45'::timestamp::text",
    "unicode": "(SELECT U&'\\0041 \" :p' || U&\"x:\" FROM (SELECT ':' AS \"x:\") AS y)",
}  # fmt: skip
PARAMS = {"p": 3, "q": 4}


@pytest.fixture(scope="module")
def ways(cluster: Cluster) -> Iterator[tuple[sa.Connection, psycopg.Connection[Any]]]:
    """A connection of SQLAlchemy's and one of our own."""
    cluster.create("statements")
    engine = sa.create_engine(cluster.url("statements"), isolation_level="AUTOCOMMIT")
    with engine.connect() as one, cluster.connect("statements") as other:
        yield one, other
    engine.dispose()
    cluster.drop("statements")


def query(pieces: Sequence[str]) -> str:
    """Return a query that has somebody's formulas between parameters and casts of ours."""
    columns = [
        f'({verbatim(one)})::text AS c{n}, :p::integer + CAST(:q AS integer) AS "n:p{n}"'
        for n, one in enumerate(pieces)
    ]
    return f"SELECT {', '.join(columns)}"


def answers(server: psycopg.Connection[Any], pieces: Sequence[str]) -> dict[str, object]:
    """Return what the server says of the same formulas where nobody reads them before."""
    found: dict[str, object] = {}
    for n, one in enumerate(pieces):
        found |= {f"c{n}": server.execute(f"SELECT ({one}\n)::text".encode()).fetchall()[0][0], f"n:p{n}": 7}
    return found


@pytest.mark.parametrize("what", HOSTILE)
def test_a_formula_is_what_the_server_reads(ways: tuple[Any, Any], what: str) -> None:
    pieces = [HOSTILE[what], "'\"'", HOSTILE[what]]
    for connection in ways:
        assert dict(run(connection, query(pieces), PARAMS)[0]) == answers(ways[1], pieces)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from([*HOSTILE.values()]), min_size=1, max_size=4))
def test_formulas_beside_each_other_do_not_misread_each_other(ways: tuple[Any, Any], pieces: list[str]) -> None:
    for connection in ways:
        assert dict(run(connection, query(pieces), PARAMS)[0]) == answers(ways[1], pieces)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(alphabet="a:p'\"\\$%-/*;( \n", max_size=12), max_size=4), st.data())
def test_any_text_arrives_as_a_string_a_name_and_a_comment(ways: tuple[Any, Any], texts: list[str], data: Any) -> None:
    written = []
    for n, one in enumerate(texts):
        quoted, doubled = one.replace('"', '""'), one.replace("'", "''")
        escaped = doubled.replace("\\", "\\\\")
        line = one.replace("\n", "")
        forms = [f"'{doubled}'", f"E'{escaped}'", f'(SELECT a."n{quoted}" FROM (SELECT \'it\' AS "n{quoted}") AS a)']
        forms += [f"'x' -- {line}\n", f"$t{n}${one}$t{n}$", "'x' /* " + one.replace("/", "") + " */"]
        written.append(data.draw(st.sampled_from(forms)))
    for connection in ways:
        assert dict(run(connection, query([*written, "1"]), PARAMS)[0]) == answers(ways[1], [*written, "1"])


@pytest.mark.parametrize("what", HOSTILE)
def test_so_it_is_counted_asked_again_and_sent_with_others(ways: tuple[Any, Any], what: str) -> None:
    one, server = ways
    sql, said = verbatim(HOSTILE[what]), answers(server, [HOSTILE[what]])["c0"]
    server.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (n integer, v text, w text)")
    for connection in ways:
        assert run_counting(connection, f"INSERT INTO t SELECT :p, ({sql})::text, ':p'", PARAMS) == 1
    change = f"UPDATE t SET w = ({sql})"
    run_at_once(one, ['ALTER TABLE t RENAME n TO ":n"', change, f"{change} || '\"'", 'ALTER TABLE t RENAME ":n" TO n'])
    assert server.execute("SELECT n, v, w FROM t").fetchall() == [(3, said, f'{said}"')] * 2
    with one.engine.connect().execution_options(isolation_level="READ COMMITTED") as reading, reading.begin():
        reads = Reads(reading)
        found = reads.rows(f"SELECT ({sql})::text AS it, CAST(:q AS text) AS q", {"q": "it's :p \" $$"})
        reads.prepare()
        assert (list(found), reads.are_true()) == ([{"it": said, "q": "it's :p \" $$"}], True)

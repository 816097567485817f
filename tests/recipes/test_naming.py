"""Which names an SQL expression says: those of columns, and no other word that is spelled alike."""

from __future__ import annotations

import pytest

from alembic_safe.authoring.recipes.naming import named_in, worded

CASES = [
    ("date > '2000-01-01'::date", {"date": "day"}, "day > '2000-01-01'::date"),
    ("date > date '2000-01-01'", {"date": "day"}, "day > date '2000-01-01'"),
    ("CAST(date AS date) < now()", {"date": "day"}, "CAST(day AS date) < now()"),
    ("status = ANY (ARRAY['a'::status, 'b'::shop.status])", {"status": "state"},
     "state = ANY (ARRAY['a'::status, 'b'::shop.status])"),
    ("(at)::timestamp(3) without time zone < time", {"time": "hour"},
     "(at)::timestamp(3) without time zone < hour"),
    ("time at time zone 'UTC' < now() AT  TIME ZONE zone", {"time": "hour", "zone": "z"},
     "hour at time zone 'UTC' < now() AT  TIME ZONE z"),
    ("year = EXTRACT(year FROM at)", {"year": "y"}, "y = EXTRACT(year FROM at)"),
    ("lower(lower) = name COLLATE name", {"lower": "low", "name": "nick"}, "lower(low) = nick COLLATE name"),
    ('name > 0 OR "my name is" > 0 OR "name" = \'name\'', {"name": "nick"},
     "nick > 0 OR \"my name is\" > 0 OR nick = 'name'"),
    (r"note <> E'it\'s name' AND name <> ''", {"name": "nick"}, r"note <> E'it\'s name' AND nick <> ''"),
    ('"S".name(name)::"S"."name"[]', {"name": "N"}, '"S".name("N")::"S"."name"[]'),
    ("NAME <> '' AND new.name <> name.x", {"name": "nick"}, "nick <> '' AND new.nick <> name.x"),
    ("name <> user", {"name": "user"}, '"user" <> user'),
    ('"user" <> user', {"user": "name"}, "name <> user"),
    ("1name + namely + a_name + name$ + ä", {"ä": "ö"}, '1name + namely + a_name + name$ + "ö"'),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "moves", "expected"), CASES)
def test_only_columns_are_called_otherwise(sql: str, moves: dict[str, str], expected: str) -> None:
    assert worded(sql, moves) == expected
    assert all(named_in(sql, column) for column in moves)


@pytest.mark.parametrize(
    "sql",
    [
        "'2000'::date",
        "date('2000')",
        '"the date is" > 0',
        "shop.date(at)",
        "x = 'date'",
        "1date + dates + a_date + date$",
    ],
)
def test_a_type_a_function_and_a_part_of_another_name_are_no_column(sql: str) -> None:
    assert not named_in(sql, "date")

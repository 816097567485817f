"""The type of a column is a domain with a default of its own, which fills what an INSERT leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic_safe import merged_from, moved_from, renamed_from
from alembic_safe.errors import Refused
from tests.recipe_cases import deploy, walk

if TYPE_CHECKING:
    from tests.recipe_cases import Case

ROWS = "INSERT INTO users VALUES (1, 'de'), (2, 'fr'), (3, NULL)"


def lang(**kw: Any) -> postgresql.DOMAIN:
    return postgresql.DOMAIN("lang", sa.Text, **{"default": "en", **kw})


def models(name: str, type_: Any, *more: sa.Column[Any], **kw: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column(name, type_, **kw), *more)
    return metadata


def renamed(type_: Any, **kw: Any) -> sa.MetaData:
    return models("language", type_, info=renamed_from("locale"), **kw)


def test_a_rename_keeps_every_value_and_what_both_applications_write(case: Case) -> None:
    case.begin(models("locale", lang()), ROWS)
    case.revise(renamed(lang()))
    deploy(case)
    assert case.run("SELECT language FROM users ORDER BY id") == [("de",), ("fr",), (None,)]
    case.run("INSERT INTO users (id, locale) VALUES (4, 'it'); INSERT INTO users (id, language) VALUES (5, 'es')")
    case.run("INSERT INTO users (id) VALUES (6)")
    wanted = [(4, "it", "it"), (5, "es", "es"), (6, "en", "en")]
    assert case.run("SELECT id, locale, language FROM users WHERE id > 3 ORDER BY id") == wanted
    case.ship()
    deploy(case)
    case.run("INSERT INTO users (id) VALUES (7)")
    assert case.run("SELECT language FROM users WHERE id = 7") == [("en",)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (models("locale", lang()), renamed(lang())),
        (models("locale", lang(), server_default="de"), renamed(lang(), server_default="de")),
        (models("locale", lang(), nullable=False), renamed(lang(), nullable=False)),
    ],
    ids=["its own", "the column's, too", "not null"],
)  # fmt: skip
def test_a_rename_leads_to_what_the_models_say_and_back(case: Case, old: sa.MetaData, new: sa.MetaData) -> None:
    rows = ROWS if old.tables["users"].columns["locale"].nullable else ROWS.replace(", (3, NULL)", "")
    before = [(1, "de"), (2, "fr"), (3, None)][: 3 if rows is ROWS else 2]
    walk(case, old, new, rows)
    assert case.run("SELECT * FROM users ORDER BY id") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [(sa.Text(), lang()), (lang(), sa.Text()), (lang(), postgresql.DOMAIN("tongue", sa.Text, default="fr"))],
    ids=["to a domain", "from a domain", "from one to another"],
)
@pytest.mark.cases("to a domain")
def test_a_column_that_gets_another_type_is_not_filled_by_a_domain(case: Case, old: Any, new: Any) -> None:
    both = sa.MetaData()
    other = sa.Column("other", lang())
    other_too = sa.Column("third", postgresql.DOMAIN("tongue", sa.Text, default="fr"))
    sa.Table("others", both, sa.Column("id", sa.Integer, primary_key=True), other, other_too)
    ways = {"up": f"locale::text::{new.compile(dialect=postgresql.dialect())}", "down": "locale::text"}
    was, becomes = models("locale", old), models("locale", new, info=ways)
    for metadata in (was, becomes):
        both.tables["others"].to_metadata(metadata)
    walk(case, was, becomes, ROWS)
    assert case.run("SELECT * FROM users ORDER BY id") == [(1, "de"), (2, "fr"), (3, None)]


def test_columns_that_are_merged_into_one_of_a_domain_keep_their_values(case: Case) -> None:
    one, two = sa.Column("region", sa.Text), sa.Column("locale", lang(), info=merged_from(
        ("tongue", "region"), up="tongue || region", down=["left(locale, 2)", "substr(locale, 3)"]
    ))  # fmt: skip
    domain = sa.Column("spare", lang())
    was, becomes = models("tongue", sa.Text, one, domain._copy()), sa.MetaData()
    sa.Table("users", becomes, sa.Column("id", sa.Integer, primary_key=True), two, domain._copy())
    walk(case, was, becomes, "INSERT INTO users VALUES (1, 'de', 'AT', 'x'), (2, NULL, 'AT', NULL)")
    assert case.run("SELECT id, locale FROM users ORDER BY id") == [(1, "deAT"), (2, None)]


def test_a_column_that_moves_into_another_table_keeps_its_values(case: Case) -> None:
    def both(name: str) -> sa.MetaData:
        metadata = sa.MetaData()
        info = moved_from("users.locale", on={"id": "user_id"}) if name == "profiles" else {}
        column = sa.Column("locale", lang(), info=info)
        sa.Table(
            "users", metadata, sa.Column("id", sa.Integer, primary_key=True), *([column] if name == "users" else [])
        )
        key = sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True)
        sa.Table("profiles", metadata, key, *([column] if name == "profiles" else []))
        return metadata

    walk(case, both("users"), both("profiles"), f"{ROWS}; INSERT INTO profiles VALUES (1), (3)")
    assert case.run("SELECT * FROM profiles ORDER BY 1") == [(1, "de"), (3, None)]


def test_a_column_that_comes_gets_what_the_model_says_not_what_its_domain_does(case: Case) -> None:
    spare = sa.Column("spare", lang())
    code = sa.Column("code", lang(), nullable=False, info={"fill": "upper(locale)"})
    walk(
        case, models("locale", sa.Text, spare._copy()), models("locale", sa.Text, spare._copy(), code),
        "INSERT INTO users VALUES (1, 'de'), (2, 'fr')",
    )  # fmt: skip
    assert case.run("SELECT id, code FROM users ORDER BY 1") == [(1, "DE"), (2, "FR")]


def test_a_rename_of_a_column_whose_domain_takes_no_null_is_made_at_once(case: Case) -> None:
    strict = lang(not_null=True)
    case.begin(models("locale", strict, nullable=False), ROWS.replace(", (3, NULL)", ""))
    texts = case.revise(renamed(strict, nullable=False))
    assert set(texts) == {""}
    assert "as the domain lang, of which locale is, takes no NULL" in " ".join(texts[""].split())
    deploy(case)
    assert case.run("SELECT id, language FROM users ORDER BY id") == [(1, "de"), (2, "fr")]


def test_a_column_that_its_type_fills_is_not_kept_in_sync(case: Case) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    case.begin(models("locale", lang()))
    case.run("ALTER TABLE users ADD language lang")
    with case.engine.connect() as connection, pytest.raises(Refused) as stopped:
        Operations(MigrationContext.configure(connection)).sync_columns("users", "locale", "language")  # type: ignore[attr-defined]
    assert "language has a default, that of its type lang" in str(stopped.value)
    case.run("ALTER TABLE users ALTER language SET DEFAULT NULL")
    with case.engine.connect() as connection:
        Operations(MigrationContext.configure(connection)).sync_columns("users", "locale", "language")  # type: ignore[attr-defined]

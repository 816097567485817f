"""Labels of an enum in SQL that the server wrote: found, and called otherwise, alone and in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alembic_safe.authoring import enum_labels
from alembic_safe.inspecting.catalog_records import ObjectId
from tests.pushed import PushProject, outcome

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture
def app(tmp_path: Path, cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch) -> PushProject:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return PushProject.create(tmp_path / "app", cluster.url(database))


@pytest.mark.parametrize(
    ("sql", "found", "becomes"),
    [
        ("SET DEFAULT 'o'::st", {"o"}, """SET DEFAULT 'x"y'::st"""),
        ("""'{o,NULL,"a b",n}'::st[]""", {"o", "a b", "n"}, """'{"x\\"y",NULL,"ab",n}'::st[]"""),
        (r"""E'{"a\\"b",o}'::public.st[]""", {'a"b', "o"}, r"""'{"q","x\"y"}'::public.st[]"""),
        ("'{{o,n},{n,o}}'::st[]", {"o", "n"}, """'{{"x\\"y",n},{n,"x\\"y"}}'::st[]"""),
        ("ARRAY['o''s'::st, 'n'::st]", {"o's", "n"}, "ARRAY['o''s'::st, 'n'::st]"),
        (r"E'a\\b'::st", {r"a\b"}, "'c'::st"),
        (
            "'o'::st2 = '{o}'::st2[] AND '{}'::st[] = 'o'::text",
            set(),
            "'o'::st2 = '{o}'::st2[] AND '{}'::st[] = 'o'::text",
        ),
    ],
)
def test_labels_are_found_and_called_otherwise_alone_and_in_arrays(sql: str, found: set[str], becomes: str) -> None:
    type_ = ObjectId("enum", "public", "st")
    assert enum_labels.labels_in(sql, type_) == found
    labels = {"o": 'x"y', "a b": "ab", 'a"b': "q", r"a\b": "c"}
    assert enum_labels.in_other_labels(sql, type_, labels) == becomes


ARRAYS = (
    'E = sa.Enum({}, name="st", metadata=metadata)\n'
    'sa.Table("b", metadata, sa.Column("id", sa.Integer, primary_key=True),'
    ' sa.Column("s", postgresql.ARRAY(E), server_default="{}"), sa.CheckConstraint("s <> \'{}\'", name="ck"))'
)


@pytest.mark.long
def test_a_label_goes_that_stands_in_the_default_of_an_array(app: PushProject) -> None:
    app.push(ARRAYS.format('"n", "o"', "{o}", "{o,o}"))
    app.rows("INSERT INTO b (s) VALUES ('{n}')")
    for labels, default in [('"n"', "{n}"), ('"n", "o", "p"', "{p,n}"), ('"n", "o"', "{o}")]:
        app.rows("DELETE FROM b WHERE id > 1")
        assert outcome(app.push(ARRAYS.format(labels, default, "{n,n}"))) == "done"
        assert outcome(app.push()) == "nothing"
        assert app.rows("INSERT INTO b DEFAULT VALUES RETURNING s::text") == [(default,)]
    told = app.push(ARRAYS.format('"n", "q"', "{q}", "{q,q}"), renames=("st.o:q",))
    assert outcome(told) == "done"
    assert app.rows("SELECT s::text FROM b ORDER BY id") == [("{n}",), ("{q}",)]
    assert app.rows("INSERT INTO b DEFAULT VALUES RETURNING s::text") == [("{q}",)]

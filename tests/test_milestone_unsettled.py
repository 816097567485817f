"""What a milestone says of a difference that stays however often its SQL runs."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import sqlalchemy as sa

from alembic_safe import commands
from tests.recipe_cases import Case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster

# whoever makes the check gets another one
TRIGGER = """
CREATE FUNCTION other() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT FROM pg_constraint WHERE conname = 'ck' AND pg_get_constraintdef(oid) = 'CHECK ((a > 2))') THEN
    ALTER TABLE c DROP CONSTRAINT ck, ADD CONSTRAINT ck CHECK (a > 2 AND a <> 9);
  END IF;
END $$;
CREATE EVENT TRIGGER other ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION other();
"""


def models(least: int) -> sa.MetaData:
    metadata = sa.MetaData()
    columns = sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.Integer)
    sa.Table("c", metadata, *columns, sa.CheckConstraint(f"a > {least}", name="ck"))
    return metadata


def test_it_is_written_once_and_called_what_it_is(
    tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]
) -> None:
    case = Case(tmp_path / "app", cluster, make_database(), make_database)
    case.begin(sa.MetaData())
    case.revise(models(1), "first")
    path = case.files[0]
    path.write_text(path.read_text().replace("def downgrade", f"    op.execute('''{TRIGGER}''')\n\n\ndef downgrade", 1))
    case.upgrade()
    case.config.attributes["models"] = models(2)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = commands.run("milestone", ("-m", "second"), case.config)
    said = " ".join(out.getvalue().split())
    assert code == 4, said
    assert "constraint ck on public.c: definition: CHECK ((a > 2)) -> CHECK (((a > 2) AND (a <> 9)))" in said
    assert "its SQL ran, and the database still differs there" in said
    texts = [one.read_text() for one in case.files if one != path]
    assert sum(text.partition("def downgrade")[0].count("DROP CONSTRAINT") for text in texts) == 1

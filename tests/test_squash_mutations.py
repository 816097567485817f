"""The proof of a squash catches whatever single thing is other in it."""

from __future__ import annotations

import ast
import random
import re
from typing import TYPE_CHECKING

import pytest
from alembic.script import ScriptDirectory

from alembic_safe.database.shadow import open_shadow
from alembic_safe.errors import SafeError
from alembic_safe.history.chain import run_chain
from alembic_safe.history.proof import Sides, prove_fresh
from alembic_safe.settings import Settings
from tests.squash_project import rich

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from alembic_safe.database.shadow import Shadow
    from tests.cluster import Cluster

WANTED = 60
# one change to a piece of a line: what is found, and what stands there instead
CHANGES = (
    (r', server_default=sa\.text\((?:"[^"]*"|\'[^\']*\')\)', ""),
    (r"nullable=False", "nullable=True"),
    (r"nullable=True", "nullable=False"),
    (r'op\.f\("([^"]+)"\)', r'op.f("\1_")'),
    (r', comment="[^"]*"', ""),
    (r"unique=True", "unique=False"),
    (r"unique=False", "unique=True"),
    (r'ondelete="CASCADE"', 'ondelete="SET NULL"'),
    (r"length=\d+", "length=3"),
    (r"sa\.SmallInteger\(\)", "sa.Integer()"),
    (r"sa\.BigInteger\(\)", "sa.Integer()"),
    (r"timezone=True", "timezone=False"),
    (r"start=7", "start=8"),
    (r"scale=2", "scale=3"),
    (r" DESC", ""),
    (r'postgresql_include=\["number"\]', "postgresql_include=[]"),
    (r"price > ", "price < "),
    (r"'good', 'fair'", "'fair', 'good'"),
    (r"INCREMENT BY 5", "INCREMENT BY 6"),
    (r"START WITH 100", "START WITH 101"),
    (r"VALUE > 0", "VALUE >= 0"),
    (r"'100% Bob'", "'100% Rob'"),
    (r"'\{a,b\}'", "'{a,c}'"),
    (r", 3, true\)", ", 3, false)"),
    (r", 3, true\)", ", 4, true)"),
    (r"BEFORE INSERT", "AFTER INSERT"),
    (r"DISABLE TRIGGER", "ENABLE TRIGGER"),
    (r"FOR SELECT", "FOR ALL"),
    (r"person > 0", "person > 1"),
    (r"always=True", "always=False"),
    (r"2027-01-01", "2028-01-01"),
    (r"lower\(", "upper("),
)


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Yield what was changed in ``upgrade()``, and the whole file with that one change."""
    tree = ast.parse(source)
    upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    lines = source.splitlines(keepends=True)
    start = sum(map(len, lines[: upgrade.lineno]))
    end = sum(map(len, lines[: upgrade.end_lineno]))
    for pattern, instead in CHANGES:
        for match in re.finditer(pattern, source[start:end]):
            at = start + match.start()
            if "nullable" in pattern and re.search(r'sa\.Column\("(id|Key)"', source[source.rindex("\n", 0, at) : at]):
                continue  # the primary key says it, too
            yield f"{match[0]} -> {instead}", source[:at] + match.expand(instead) + source[start + match.end() :]
    for node in upgrade.body:  # what is made of SQL, and the rows, each left out
        if isinstance(node, ast.Expr) and ast.unparse(node).startswith(
            ("op.execute", "op.create_index", "op.bulk_insert")
        ):
            without = [*lines[: node.lineno - 1], *lines[node.end_lineno :]]
            yield f"without {ast.unparse(node)[:60]}", "".join(without)


@pytest.mark.long
def test_sixty_single_changes_are_all_caught(tmp_path: Path, cluster: Cluster, database: str) -> None:
    project = rich(tmp_path / "app", cluster.url(database))
    project.run("squash", "-m", "all", check=0)
    (file,) = (project.folder / "migrations" / "versions").glob("*.py")
    source = file.read_text()
    found = list(dict.fromkeys(mutants(source)))
    assert len(found) >= WANTED
    chosen = random.Random(5).sample(found, WANTED)
    config = project.config

    def before() -> ScriptDirectory:
        script = ScriptDirectory.from_config(config)
        script.revision_map.expand_originals("r06")  # type: ignore[attr-defined]
        return script

    def after() -> ScriptDirectory:
        return ScriptDirectory.from_config(config)

    def fresh() -> Shadow:
        return shadow.beside()

    sides = Sides(config, before, after, after, "r06", fresh)
    missed = []
    with open_shadow(None, Settings(shadow_url=cluster.url(database))) as shadow:
        chain = run_chain(config, before(), shadow.beside(), "r06")
        changing = {table.id: ("at",) for table in chain.state.contents.tables if table.id.name == "Order"}
        prove_fresh(sides, chain.state, changing)[0].dismiss()
        for what, text in chosen:
            file.write_text(text)
            try:
                made, _, _ = prove_fresh(sides, chain.state, changing)
            except SafeError:
                continue
            made.dismiss()
            missed.append(what)
    assert missed == []

"""A stock downgrade of a change that is about several tables, beside who writes them in either order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from tests.patience import eventually

if TYPE_CHECKING:
    from tests.recipe_cases import Case

WAITS = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = ANY(ARRAY['users', 'orders']::regclass[])"


def shop(key: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", key, primary_key=True))
    referring = sa.Column("user_id", key, sa.ForeignKey("users.id", name="of_user"))
    sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), referring)
    return metadata


@pytest.mark.parametrize(("held", "wanted"), [("users", "orders"), ("orders", "users")])
@pytest.mark.parametrize("shipped", [False, True], ids=["expand and copy", "contract"])
@pytest.mark.cases("contract-users-orders", "expand and copy-orders-users")
def test_who_holds_one_table_and_wants_the_other_goes_on(
    case: Case, held: str, wanted: str, shipped: bool, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    caplog.set_level("DEBUG", "alembic")  # then Alembic says each function's name
    case.begin(shop(sa.Integer), "INSERT INTO users VALUES (1); INSERT INTO orders VALUES (1, 1)")
    before = case.catalog
    case.revise(shop(sa.BigInteger))
    case.upgrade()
    if shipped:
        case.ship()
        case.upgrade()
    with case.cluster.connect(case.database, autocommit=False) as client, ThreadPoolExecutor(1) as pool:
        client.execute(f"UPDATE {held} SET id = id")
        going = pool.submit(case.downgrade, "base")
        eventually(lambda: case.run(WAITS))
        client.execute(f"UPDATE {wanted} SET id = id")
        client.commit()
        going.result()
    assert case.catalog.objects.keys() == before.objects.keys()


@pytest.mark.long
def test_files_that_contradict_each_other_keep_nobody_from_going_back(case: Case) -> None:
    case.begin(shop(sa.Integer), "INSERT INTO users VALUES (1); INSERT INTO orders VALUES (1, 1)")
    before = case.catalog
    case.revise(shop(sa.BigInteger))
    case.upgrade()
    (case.contracts / "notes.py").write_text("no contract")
    case.downgrade("base")
    assert case.catalog.objects.keys() == before.objects.keys()

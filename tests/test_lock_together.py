"""Two tables are locked together, and whoever holds one of them and wants the other goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.patience import eventually
from tests.stepwise import Stepwise, place

__all__ = ["place"]

MADE = """
CREATE TABLE users (id integer PRIMARY KEY, id_new bigint UNIQUE);
CREATE TABLE orders (user_id integer REFERENCES users (id), CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users (id),
  CONSTRAINT of_user_new FOREIGN KEY (user_id) REFERENCES users (id_new))
"""
OPERATIONS = {
    "a foreign key comes": ("create_foreign_key_not_valid", ("another", "orders", "users", ["user_id"], ["id"]), {}),
    "a foreign key takes another one's place": (
        "rename_constraint", ("of_user_new", "of_user", "orders"), {"replace": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_holds_one_table_and_wants_the_other_meets_no_deadlock(place: Stepwise, operation: str) -> None:
    verb, words, more = OPERATIONS[operation]
    place.given(MADE)
    with place.cluster.connect(place.name, autocommit=False) as client, ThreadPoolExecutor(1) as pool:
        client.execute("UPDATE users SET id = id")
        going = pool.submit(place.op, verb, *words, **more)
        eventually(lambda: place.all("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"))
        client.execute("UPDATE orders SET user_id = user_id")
        client.commit()
        going.result()

    names = {name for (name,) in place.all("SELECT conname FROM pg_constraint WHERE conrelid = 'orders'::regclass")}
    assert ("another" in names) is (verb == "create_foreign_key_not_valid")
    assert ("of_user_new" in names) is (verb == "create_foreign_key_not_valid")

"""Whether somebody else is at work in a database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from alembic_safe.database.endpoint import APPLICATION_NAME
from alembic_safe.database.others import others_are_at_work

if TYPE_CHECKING:
    from tests.cluster import Cluster


def test_only_who_is_none_of_us_and_did_something_of_late_is_at_work(cluster: Cluster) -> None:
    cluster.create("others")
    with cluster.connect("others") as mine:
        assert not others_are_at_work(mine)
        with cluster.connect("others") as ours:
            ours.execute(f"SET application_name = '{APPLICATION_NAME}'".encode())
            assert not others_are_at_work(mine)
        with cluster.connect("others") as other:
            other.execute("SELECT 1")
            assert others_are_at_work(mine)
            time.sleep(1.2)
            assert not others_are_at_work(mine)
            other.execute("BEGIN")
            time.sleep(1.2)
            assert others_are_at_work(mine)
            with cluster.connect("postgres") as elsewhere:
                assert not others_are_at_work(elsewhere)
    cluster.drop("others")


def test_whose_work_is_not_shown_may_be_at_work(cluster: Cluster) -> None:
    cluster.create("others_unseen")
    with cluster.connect("others_unseen") as admin:
        admin.execute("DROP ROLE IF EXISTS others_guest; CREATE ROLE others_guest")
        with cluster.connect("others_unseen") as mine:
            mine.execute("SET ROLE others_guest")
            assert others_are_at_work(mine)
        admin.execute("DROP ROLE others_guest")
    cluster.drop("others_unseen")

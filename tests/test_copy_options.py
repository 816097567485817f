"""How the settings say how copies may load a database."""

from __future__ import annotations

import pytest

from alembic_safe.database.steps import CopyOptions
from alembic_safe.deploying.copy_options import copy_options, read_window
from alembic_safe.errors import WrongUsage
from alembic_safe.settings import Settings


def test_without_a_setting_copies_run_as_the_engine_means_it():
    assert copy_options(Settings.load(environ={})) == CopyOptions()


def test_every_setting_reaches_the_engine():
    settings = Settings.load(
        environ={
            "ALEMBIC_SAFE_COPY_WORKERS": "4", "ALEMBIC_SAFE_COPY_MAX_LAG": "3s", "ALEMBIC_SAFE_COPY_MAX_SLOT": "5GB",
            "ALEMBIC_SAFE_COPY_WAIT_WHILE": "EXISTS (SELECT FROM sale)", "ALEMBIC_SAFE_COPY_WINDOW": "9:05 - 17:30",
        }
    )  # fmt: skip
    assert copy_options(settings) == CopyOptions(
        workers=4, longest_lag=3.0, most_slot_bytes=5_000_000_000, condition="EXISTS (SELECT FROM sale)",
        window=("09:05", "17:30"),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["22:00", "25:00-05:00", "22:60-05:00", "ten-eleven", "22:00-05:30 UTC"])
def test_a_window_of_another_form_is_wrong_usage(text):
    with pytest.raises(WrongUsage, match="22:00-05:30"):
        read_window(text)


def test_no_worker_at_all_is_wrong_usage():
    with pytest.raises(WrongUsage, match="1 is the least"):
        copy_options(Settings.load(environ={"ALEMBIC_SAFE_COPY_WORKERS": "0"}))

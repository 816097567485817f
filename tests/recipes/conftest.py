"""What every test of a recipe needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.recipe_cases import Case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cluster import Cluster


@pytest.fixture
def case(tmp_path: Path, cluster: Cluster, make_database: Callable[..., str]) -> Case:
    """A project on an empty database."""
    return Case(tmp_path / "app", cluster, make_database(), make_database)

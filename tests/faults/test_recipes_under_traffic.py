"""Every recipe while an old and a new application write: no write fails, none is lost, and the end is the models'."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.application_cases import CASES
from tests.applications import CLIENTS, Story
from tests.hostile_traffic import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.application_cases import Traffic
    from tests.cluster import Cluster

pytestmark = pytest.mark.long

SEED = int(os.environ.get("ALEMBIC_SAFE_TEST_SEED") or random.SystemRandom().randrange(10**6))
KILLS = int(os.environ.get("ALEMBIC_SAFE_TEST_KILLS") or 7)
"""How often each deploy of a change is killed; a change has up to three."""
ONE_WAY = {"enum: a label comes", "set null again"}
"""The new application writes what the database of before cannot hold: the way back refuses, and every row stays."""
STATEMENTS = 6
"""How many prepared statements a client has, at most."""


def drawn(name: str) -> Traffic:
    """Return a change, as it is or with names that have to be quoted."""
    return random.Random(f"{SEED} {name}").choice([CASES, HOSTILE])[name]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cases", [CASES, HOSTILE], ids=["plain", "hostile"])
def test_both_applications_live_through_it(
    cases: dict[str, Traffic],
    name: str,
    tmp_path: Path,
    cluster: Cluster,
    database: str,
    make_database: Callable[..., str],
) -> None:
    story = Story(cases[name], cluster, database, tmp_path / "app", rows=20_000, seed=SEED)
    phases = story.tell()
    print(
        f"\n{name}, seed {SEED}:",
        *(f"{p.name} {p.seconds:.1f} s, {p.writes} writes, {p.longest:.2f} s" for p in phases),
    )
    assert [phase.errors for phase in phases] == [[]] * len(phases)
    assert all(phase.writes for phase in phases)
    assert sum(phase.swapped for phase in phases) <= CLIENTS * STATEMENTS
    story.require_catalog(make_database())
    if name in ONE_WAY:
        with pytest.raises(AssertionError, match=r"invalid input value for enum|rows hold NULL"):
            story.go_back()
        story.require_rows(story.case.new)
    else:
        story.go_back()
        story.require_rows(story.case.old)


@pytest.mark.parametrize("name", CASES)
def test_it_is_whole_when_each_deploy_was_killed_again_and_again(
    name: str, tmp_path: Path, cluster: Cluster, database: str, make_database: Callable[..., str]
) -> None:
    story = Story(drawn(name), cluster, database, tmp_path / "app", rows=100_000, seed=SEED, kills=KILLS)
    story.tell()
    print(f"\n{name}, seed {SEED}: killed {story.killed} times while it ran")
    story.require_catalog(make_database())


@pytest.mark.parametrize("name", [name for name in CASES if name not in ONE_WAY])
def test_each_phase_goes_back_and_forth(
    name: str, tmp_path: Path, cluster: Cluster, database: str, make_database: Callable[..., str]
) -> None:
    story = Story(drawn(name), cluster, database, tmp_path / "app", rows=100_000, seed=SEED, backs=True)
    assert [phase.errors for phase in story.tell() if phase.errors] == []
    story.require_catalog(make_database())
    story.go_back()
    story.require_rows(story.case.old)

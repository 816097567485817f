"""Fixtures: one server for each worker, one database for each test, one Alembic project where asked for."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import uuid
from typing import TYPE_CHECKING

import hypothesis
import pytest

from alembic_safe.database.embedded import private_server
from alembic_safe.database.server_programs import embedded_programs
from tests.cluster import VERSION, Cluster
from tests.patience import QuietClock, quiet_clock
from tests.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AGENT_VARIABLES = (
    "CLAUDECODE", "CODEX_THREAD_ID", "CODEX_CI", "GEMINI_CLI", "QWEN_CODE", "CURSOR_AGENT", "COPILOT_CLI", "OPENCODE",
    "OPENCODE_CLIENT", "CLINE_ACTIVE", "AGENT", "AI_AGENT", "CRUSH", "OR_APP_NAME", "AUGMENT_AGENT", "ANTIGRAVITY_AGENT",
    "REPLIT_SESSION",
)  # fmt: skip


# Where things are made up, the default run makes up the same ones every time: it judges a change, and its outcome is
# no matter of luck. The long suite goes looking for new ones.
hypothesis.settings.register_profile("default run", deadline=None, derandomize=True, print_blob=True,
                                     suppress_health_check=[hypothesis.HealthCheck.too_slow])  # fmt: skip
hypothesis.settings.register_profile("long suite", hypothesis.settings.get_profile("default run"), derandomize=False)


def pytest_configure(config: pytest.Config) -> None:
    """Make Ctrl-C reach the processes of the tests, also where a pipeline started us with the signal ignored."""
    hypothesis.settings.load_profile("default run" if "not long" in config.option.markexpr else "long suite")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"PostgreSQL {VERSION} (embedded; ALEMBIC_SAFE_TEST_POSTGRES chooses 16 or 18)"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make every case long that ``@pytest.mark.cases`` does not name: by its id, or how that begins or ends."""
    unmet: dict[str, set[str]] = {}
    for item in items:
        named = item.get_closest_marker("cases")
        if named is None:
            continue
        met = {case for case in named.args if f"-{case}-" in f"-{item.callspec.id}-"}  # type: ignore[attr-defined]
        unmet.setdefault(item.nodeid.partition("[")[0], {*named.args}).difference_update(met)
        if not met:
            item.add_marker(pytest.mark.long)
    wrong = [f"{test}: {sorted(cases)}" for test, cases in unmet.items() if cases]
    # who asks for one case by its id gets no other
    if wrong and not any("[" in word for word in config.args):
        raise pytest.UsageError("@pytest.mark.cases names cases that are none", *wrong)


@pytest.fixture(autouse=True)
def no_env_py_outlives_its_test() -> Iterator[None]:
    """Take away what an env.py that ran in this process leaves: log handlers on a closed stream, the project's models."""
    before = {id(handler) for logger in _loggers() for handler in logger.handlers}
    yield
    for logger in _loggers():
        for handler in tuple(logger.handlers):
            if type(handler) is logging.StreamHandler and id(handler) not in before:
                logger.removeHandler(handler)
    sys.modules.pop("models", None)


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]


@pytest.fixture(autouse=True)
def _neutral_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests say themselves who runs them: no agent, no CI, no settings of the caller's shell."""
    for name in list(os.environ):
        if name.startswith(("ALEMBIC_SAFE_", "CODEX_SANDBOX", "PG")) and not name.startswith("ALEMBIC_SAFE_TEST_"):
            monkeypatch.delenv(name)
    for name in (*AGENT_VARIABLES, "CI", "GITHUB_SHA", "CI_COMMIT_SHA", "NO_COLOR", "FORCE_COLOR",
                 "PYTHONDONTWRITEBYTECODE"):  # without bytecode every process of a test compiles SQLAlchemy anew  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _files_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision file that a test edits is compiled anew: bytecode of the same second and length would pass for it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The worker's own server, and the private one that shadows may be made on: it would stop after each command."""
    server = Cluster.start()
    with private_server(embedded_programs(VERSION)):
        yield server
    server.stop()


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache folder for all tests of a module: what one of them has replayed, the next ones find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def make_database(cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Make empty databases (or copies of ``template``) that go with the test."""
    made: list[str] = []

    def make(name: str = "", template: str = "template0") -> str:
        name = name or f"t_{uuid.uuid4().hex[:12]}"
        cluster.create(name, template)
        made.append(name)
        return name

    yield make
    for name in made:
        cluster.drop(name)


@pytest.fixture
def database(make_database: Callable[..., str]) -> str:
    """The name of an empty database."""
    return make_database()


@pytest.fixture
def clock(cluster: Cluster) -> Iterator[QuietClock]:
    """Tells the time by what the server gets done; for limits on how long something may take."""
    with quiet_clock(cluster.connect()) as ticking:
        yield ticking


@pytest.fixture
def project(tmp_path: Path, cluster: Cluster, database: str) -> Project:
    """An Alembic environment (template ``generic``) on an empty database, with three plain revisions."""
    return Project.create(tmp_path / "app", cluster.url(database))

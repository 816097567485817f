"""`alembic safe-check`, the pre-commit hook and the CI action: changed revisions are judged where no database is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from tests.project import Project
from tests.test_plan import SCHEMA
from tests.test_reading_locked import command

if TYPE_CHECKING:
    from tests.cluster import Cluster
    from tests.deploys import Ended

ROOT = Path(__file__).parent.parent
NOWHERE = "postgresql+psycopg://nobody@nowhere.invalid/shop"
"""The cluster fixture is asked for only to have the embedded server run already."""


@pytest.fixture
def shop(tmp_path: Path, cluster: Cluster) -> Project:
    """A project whose database cannot be reached, with two changed revisions: one harmful, one not."""
    del cluster
    project = Project.create(tmp_path / "a project", NOWHERE)
    project.revision("b1", "a3", "less", 'op.drop_column("users", "mail")')
    project.revision("b2", "b1", "old harm", 'op.drop_column("users", "name")')
    project.revision("b3", "b2", "more", 'op.add_column("users", sa.Column("nick", sa.Text))')
    return project


def file_of(project: Project, name: str) -> str:
    (found,) = (project.folder / "migrations" / "versions").glob(f"{name}_*.py")
    return str(found)


def check(project: Project, *args: str) -> Ended:
    return command(project, "safe-check", *args)


def found_in(project: Project, *names: str) -> dict[str, Any]:
    ended = check(project, "--format", "json", *(file_of(project, name) for name in names))
    found = json.loads(ended.out)
    jsonschema.validate(found, SCHEMA)
    assert ended.code == (4 if found["plans"][0]["needs_consent"] else 0)
    return {one["revision"]: [h["id"] for h in one["hazards"]] for one in found["plans"][0]["revisions"]}


def test_what_changed_is_judged_and_nothing_else_and_no_database_is_reached(shop: Project) -> None:
    found = found_in(shop, "b1", "b3")
    assert sorted(found) == ["b1", "b3"]
    assert "drop-column:users.mail" in found["b1"]
    assert not any("users.name" in one for every in found.values() for one in every)


def test_people_are_told_what_to_do_and_a_consent_in_the_file_counts(shop: Project) -> None:
    ended = check(shop, file_of(shop, "b1"))
    assert ended.code == 4
    assert ended.out.startswith("Checked  b1, as on a production database")
    assert 'op.retire_column("users", sa.Column("mail"' in ended.text
    assert 'accept = {"drop-column:users.mail": "why"}' in ended.text
    path = Path(file_of(shop, "b1"))
    path.write_text(path.read_text() + '\naccept = {"drop-column:users.mail": "nobody reads it since March"}\n')
    ended = check(shop, str(path))
    assert (ended.code, "nobody reads it since March" in ended.text) == (0, True)
    results = json.loads(check(shop, "--format", "sarif", str(path)).out)["runs"][0]["results"]
    (dropped,) = [one for one in results if one["ruleId"] == "drop-column"]
    assert [one["kind"] for one in dropped["suppressions"]] == ["inSource"]


def test_no_consent_helps_in_a_file_that_fails_whatever_rows_there_are(shop: Project) -> None:
    view = 'op.execute("CREATE VIEW named AS SELECT name FROM users")'
    for extra in ("", 'accept = {"used-by-others:b1": "why"}'):
        shop.revision("b1", "a3", "less", f'{view}\nop.drop_column("users", "name")', extra=extra)
        ended = check(shop, file_of(shop, "b1"))
        assert ended.code == 4
        assert "it fails as it stands, so no consent helps" in ended.text
        assert "say so in the file" not in ended.text


def test_a_required_column_is_consented_to_where_nobody_knows_the_rows(shop: Project) -> None:
    body = 'op.add_column("users", sa.Column("z", sa.Integer, nullable=False))'
    shop.revision("b3", "b2", "more", body)
    ended = check(shop, file_of(shop, "b3"))
    assert (ended.code, 'accept = {"add-column-required:users.z": "why"}' in ended.text) == (4, True)
    shop.revision("b3", "b2", "more", body, extra='accept = {"add-column-required:users.z": "it is empty"}')
    assert check(shop, file_of(shop, "b3")).code == 0


@pytest.mark.parametrize("form", ["github", "markdown", "sarif"])
def test_the_forms_of_pipelines_name_hazard_and_file(shop: Project, form: str) -> None:
    out = check(shop, "--format", form, file_of(shop, "b1")).out
    assert "drop-column" in out
    assert form == "markdown" or "b1_less.py" in out


def test_files_that_are_no_revisions_are_passed_over(shop: Project) -> None:
    other = str(ROOT / "tests" / "project.py")
    ended = check(shop, other)
    assert (ended.code, ended.out) == (0, "None of these files is a revision of this project.\n")
    assert json.loads(check(shop, "--format", "json", other).out)["plans"][0]["revisions"] == []


def test_a_file_that_is_not_there_or_none_at_all_is_no_check(shop: Project) -> None:
    ended = check(shop, file_of(shop, "b3"), "migrations/versions/typo.py")
    assert ended.code == 2
    assert "Not there: migrations/versions/typo.py." in ended.text
    assert "alembic safe-check migrations/versions/" in ended.text
    ended = check(shop)
    assert ended.code == 2
    assert "No file was named, so nothing was checked." in ended.text


@pytest.mark.parametrize("folder", ["migrations/versions/", "migrations"])
def test_of_a_folder_the_revisions_in_it_are_judged(
    shop: Project, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.folder)
    ended = check(shop, folder)
    assert ended.code == 4
    assert ended.out.startswith("Checked  a1, a2, a3, b1, b2, b3, as on a production database")


def test_a_changed_revision_that_fails_is_refused_and_what_stands_behind_it_is_not_observed(shop: Project) -> None:
    shop.revision("b4", "b3", "fails", 'op.drop_column("users", "nowhere")')
    shop.revision("b5", "b4", "behind", 'op.add_column("users", sa.Column("x", sa.Text))')
    found = found_in(shop, "b4", "b5")
    assert found == {"b4": ["does-not-run:b4"], "b5": ["not-observed:b5"]}
    ended = check(shop, file_of(shop, "b5"))  # the fault stands in a file that did not change
    assert ended.code == 8
    assert "b4 (fails) does not run" in ended.text


def test_a_revision_that_connects_by_itself_gets_to_the_throw_away_database(shop: Project) -> None:
    shop.revision("b4", "b3", "by itself", f"""
op.create_table("seen", sa.Column("id", sa.Integer))
op.get_bind().commit()
with sa.create_engine({NOWHERE!r}, poolclass=sa.NullPool).begin() as other:
    other.execute(sa.text("INSERT INTO seen VALUES (1)"))
""")  # fmt: skip
    assert "does-not-run:b4" not in found_in(shop, "b4")["b4"]


# --- the hook and the action -----------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def committed(project: Project) -> None:
    """Make a git repository of a project, whose last commit changes ``b1`` and adds ``b3``."""
    b1, b3 = Path(file_of(project, "b1")), Path(file_of(project, "b3"))
    kept = {path: path.read_text() for path in (b1, b3)}
    b1.write_text(kept[b1] + "\n# before\n")
    b3.unlink()
    git(project.folder, "init", "-q", "-b", "main")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-qm", "before")
    for path, text in kept.items():
        path.write_text(text)
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-qm", "after")


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | more


def action_steps() -> dict[str, dict[str, Any]]:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert action["runs"]["using"] == "composite"
    assert {step["shell"] for step in action["runs"]["steps"]} == {"bash"}
    return {step["name"]: step for step in action["runs"]["steps"]}


def run_step(name: str, folder: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: bash with -e and pipefail, the inputs as the step's own environment has them."""
    step = action_steps()[name]
    assert set(given) - {"GITHUB_STEP_SUMMARY"} <= set(step["env"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=folder,
        env=environment(**(dict.fromkeys(step["env"], "") | given)), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.long
def test_the_action_annotates_what_changed_and_fails_where_consent_is_needed(shop: Project, tmp_path: Path) -> None:
    committed(shop)
    summary, sarif = tmp_path / "summary.md", tmp_path / "it.sarif"
    done = run_step("Check", shop.folder, INPUT_CONFIG="alembic.ini", INPUT_BASE="", INPUT_SARIF=str(sarif),
                    GITHUB_STEP_SUMMARY=str(summary))  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "::error file=migrations/versions/b1_less.py,line=" in done.stdout
    assert "users.name" not in done.stdout  # b2 is old
    assert "`b3` more |" in summary.read_text()
    assert {one["ruleId"] for one in json.loads(sarif.read_text())["runs"][0]["results"]} >= {"drop-column"}


@pytest.mark.long
def test_the_action_has_nothing_to_say_where_no_python_file_changed_or_no_base_is_there(shop: Project) -> None:
    committed(shop)
    done = run_step("Check", shop.folder, INPUT_CONFIG="alembic.ini", INPUT_BASE="HEAD")
    assert (done.returncode, done.stdout) == (0, "No Python file changed.\n")
    done = run_step("Check", shop.folder, INPUT_CONFIG="alembic.ini", INPUT_BASE="no-such-branch")
    assert done.returncode == 2
    assert "check out with fetch-depth: 0" in done.stdout


def test_the_action_uses_every_input_that_it_has() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    used = json.dumps(action["runs"])
    assert [name for name in action["inputs"] if f"inputs.{name}" not in used] == []


@pytest.mark.long
def test_the_hook_runs_under_pre_commit(shop: Project, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    git(hooks, "init", "-q", "-b", "main")
    git(hooks, "add", ".")
    git(hooks, "commit", "-qm", "hooks")
    committed(shop)
    words = [sys.executable, "-m", "pre_commit", "try-repo", str(hooks), "alembic-safe-check", "--verbose", "--files"]
    home = environment(PRE_COMMIT_HOME=str(tmp_path / "home"))

    def hook(*names: str) -> subprocess.CompletedProcess[str]:
        files = [str(Path(file_of(shop, name)).relative_to(shop.folder)) for name in names]
        return subprocess.run([*words, *files, "alembic.ini"], cwd=shop.folder, env=home, capture_output=True, text=True,
                              timeout=300, check=False)  # fmt: skip

    done = hook("b1", "b3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "exit code: 4" in done.stdout
    assert "drop-column:users.mail  (b1)" in done.stdout
    assert "users.name" not in done.stdout
    done = hook("b3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout

"""A squash that is killed leaves the revisions as they were, or all of it done."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from alembic_safe.database import squash_moving
from tests.squash_project import tree, with_template

if TYPE_CHECKING:
    from pathlib import Path

    from tests.project import Project

KILLED_AT = """
import os, signal, sys
n, folder = int(sys.argv.pop(1)), sys.argv.pop(1)
seen = 0
def hook(event, arguments):
    global seen
    touches = event in ("os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "shutil.copyfile", "ctypes.get_errno")
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if (touches or writes) and folder in repr(arguments) or event == "ctypes.get_errno":
        seen += 1
        if seen == n:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
MOVE = """
from pathlib import Path
from alembic_safe.database.squash_moving import move
root = Path(folder)
versions = root / "versions"
if sys.argv[1] == "plan":
    import alembic_safe.database.squash_moving as m
    m._exchange = lambda: None
move(root / "squashed", [versions], [(root / "squashed" / ".new" / "n.py", versions / "n.py")],
     [versions / f"r{k}.py" for k in range(5)], leftover=root / "squashed" / ".new")
print(seen)
"""
SQUASH = """
import runpy
sys.argv = ["alembic", "squash", "-m", "all"]
runpy.run_module("alembic", run_name="__main__")
"""


def run(code: str, n: int, folder: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED_AT + code, str(n), str(folder), *words],
        cwd=cwd or folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def prepared(folder: Path) -> Path:
    (folder / "versions").mkdir(parents=True)
    (folder / "squashed" / ".new").mkdir(parents=True)
    for k in range(5):
        (folder / "versions" / f"r{k}.py").write_text(f"# {k}\n")
    (folder / "versions" / "later.py").write_text("# later\n")
    (folder / "squashed" / ".new" / "n.py").write_text("# the squash\n")
    return folder


@pytest.mark.parametrize("way", ["swap", "plan"])
def test_files_are_moved_as_a_whole_or_not_at_all(tmp_path: Path, way: str) -> None:
    before = tree(prepared(tmp_path / "begun") / "versions")
    after = {"later.py": b"# later\n", "n.py": b"# the squash\n"}
    states = set()
    for n in range(1, 40, 3):
        folder = shutil.copytree(tmp_path / "begun", tmp_path / f"{way}{n}")
        done = run(MOVE, n, folder, way)
        if way == "plan":
            squash_moving.finish(folder / "squashed")  # what the next command of Alembic does first
        found = tree(folder / "versions")
        assert found in (before, after), (n, sorted(found))
        states.add("before" if found == before else "after")
        squash_moving.clear(folder / "squashed")
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert states == {"before", "after"}


@pytest.mark.long
def test_a_squash_that_is_killed_at_thirty_moments(project: Project, tmp_path: Path) -> None:
    with_template(project)
    versions, begun = project.folder / "migrations", tmp_path / "begun"
    shutil.copytree(versions, begun)
    before = tree(begun / "versions")
    done = run(SQUASH, 10**9, versions, cwd=project.folder)
    assert done.returncode == 0, done.stderr
    after = set(tree(versions / "versions"))
    chosen = random.Random(7)
    moments = [*range(1, 16), *(chosen.uniform(0.2, 6) for _ in range(15))]
    for moment in moments:
        shutil.rmtree(versions)
        shutil.copytree(begun, versions)
        if isinstance(moment, int):
            run(SQUASH, moment, versions, cwd=project.folder)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "alembic", "squash", "-m", "all"], cwd=project.folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        found = tree(versions / "versions")
        assert found == before or set(found) == after, moment
        assert project.run("heads", check=0).stdout.strip() == "a3 (head)"
        project.run("squash", "-m", "all") if found == before else None
        assert set(tree(versions / "versions")) == after

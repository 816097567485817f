"""A squash that is killed leaves the revisions as they were, or all of it done."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from alembic_safe.database import squash_moving
from tests.squash_project import tree, with_template

if TYPE_CHECKING:
    from pathlib import Path

    from tests.project import Project

KILLED_AT = """
import atexit, os, signal, sys
atexit.register(lambda: print(f"events: {seen}", file=sys.stderr))
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
     [versions / f"r{k}.py" for k in range(5)], leftover=[root / "squashed" / ".new"])
print(seen)
"""
SQUASH = """
import runpy
sys.argv = ["alembic", "squash", "-m", "all", *sys.argv[1:]]
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
@pytest.mark.cases("swap")
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
@pytest.mark.parametrize("words", [(), ("a1:a3",), ("--keep", "a2"), ("--regions",)], ids=" ".join)
def test_a_squash_that_is_killed_at_thirty_moments(project: Project, tmp_path: Path, words: tuple[str, ...]) -> None:
    with_template(project)
    if words == ("--regions",):  # two parts behind the one that the others have as well
        for id_, down in (("b4", "a3"), ("b5", "b4"), ("c4", "a3"), ("c5", "c4")):
            project.revision(id_, down, id_, f'op.add_column("users", sa.Column("{id_}", sa.Text))',
                             f'op.drop_column("users", "{id_}")')  # fmt: skip
    migrations, begun = project.folder / "migrations", tmp_path / "begun"
    shutil.copytree(migrations, begun)
    before = tree(begun / "versions")
    began = time.monotonic()
    done = run(SQUASH, 10**9, migrations, *words, cwd=project.folder)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    after = tree(migrations)
    heads = project.run("heads", check=0).stdout
    events = int(done.stderr.rpartition("events: ")[2])
    chosen = random.Random(7)
    # half of them as a file is touched, of these five within the last step and one at its end; half at any time
    at_events = [*chosen.sample(range(1, events - 20), 10), *chosen.sample(range(events - 20, events), 4), events]
    moments: list[int | float] = [*at_events, *(chosen.uniform(0.1, seconds) for _ in range(15))]
    states = []
    for moment in moments:
        shutil.rmtree(migrations)
        shutil.copytree(begun, migrations)
        killed_at(moment, project.folder, migrations, *words)
        left = tree(migrations / "versions")
        assert sorted(project.run("heads", check=0).stdout.split()) == sorted(heads.split())
        found = tree(migrations / "versions")
        assert left == found  # nobody has to mend anything
        states.append("before" if found == before else "after")
        if found != before:
            # the file says when it was written
            assert set(tree(migrations)) >= set(after), moment
            assert set(found) == {name.removeprefix("versions/") for name in after if name.startswith("versions/")}, (
                moment
            )
    assert states.count("before") >= 20
    assert "after" in states
    last = next(n for n, state in reversed(list(enumerate(states))) if state == "before")
    shutil.rmtree(migrations)
    shutil.copytree(begun, migrations)
    killed_at(moments[last], project.folder, migrations, *words)
    if tree(migrations / "versions") == before:
        project.run("squash", "-m", "all", *words, check=0)  # nothing that was left behind is in the way
    assert set(tree(migrations)) == set(after)


def killed_at(moment: float, folder: Path, migrations: Path, *words: str) -> None:
    """Start a squash, and kill it: when so many files have been touched (an int), or so many seconds have passed."""
    if isinstance(moment, int):
        run(SQUASH, moment, migrations, *words, cwd=folder)
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", "squash", "-m", "all", *words], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()

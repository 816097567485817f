"""The doors into Alembic: what loads, what it costs, what stays as it was."""

from __future__ import annotations

import subprocess
import sys


def test_our_commands_stand_in_the_stock_help(project):
    out = project.run("--help", check=0).stdout
    for name in ("safe-upgrade", "safe-status", "safe-guard", "safe-init", "safe-backup", "safe-restore"):
        assert name in out


def test_importing_alembic_loads_the_doors_and_the_names_of_operations_and_nothing_else_of_ours():
    code = (
        "import sys, alembic.config\n"
        "ours = {m for m in sys.modules if m.startswith('alembic_safe')}\n"
        "print(sorted(m for m in ours if not m.startswith('alembic_safe.operations')))\n"
        "print([m for m in ('click', 'psycopg', 'tenacity') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["['alembic_safe', 'alembic_safe.plugin']", "[]"]

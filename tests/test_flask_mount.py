"""Our commands in another click group: Flask's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from alembic_safe.commands import group

if TYPE_CHECKING:
    from tests.project import Project


def test_our_group_mounted_in_flask_finds_the_project_of_flask_migrate(project: Project) -> None:
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = project.url
    Migrate(app, SQLAlchemy(app), directory=str(project.folder / "migrations"))
    # Flask-Migrate keeps its ini inside the migrations folder
    (project.folder / "migrations" / "alembic.ini").write_text((project.folder / "alembic.ini").read_text())
    app.cli.add_command(group, "safe")
    runner = app.test_cli_runner()

    upgraded = runner.invoke(args=["safe", "safe-upgrade"])
    status = runner.invoke(args=["safe", "safe-status"])

    assert upgraded.exit_code == 0, upgraded.output
    assert "is at a3" in upgraded.output
    assert status.exit_code == 0, status.output
    assert status.output.startswith("Target   ")


def test_a_refusal_in_a_mounted_command_exits_with_our_code(project: Project) -> None:
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = project.url
    Migrate(app, SQLAlchemy(app), directory=str(project.folder / "migrations"))
    (project.folder / "migrations" / "alembic.ini").write_text((project.folder / "alembic.ini").read_text())
    app.cli.add_command(group, "safe")

    done = app.test_cli_runner().invoke(args=["safe", "safe-upgrade", "nosuchrevision"])

    assert done.exit_code == 2, done.output
    assert "nosuchrevision" in done.output

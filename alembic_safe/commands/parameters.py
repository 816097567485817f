"""Kinds of option that several commands share, and how a person is asked."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from alembic_safe.settings import seconds


class Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A duration such as 60s or 10m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it, or say what one looks like."""
        try:
            return seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def on_a_terminal() -> bool:
    """Whether a person can be asked: a terminal on both sides, and no pipeline."""
    return sys.stdin.isatty() and sys.stdout.isatty() and not os.environ.get("CI")


def ask(question: str) -> bool:
    """Put a yes-or-no question to the person at the terminal; anything but a yes is a no."""
    try:
        return click.confirm(question, default=False)
    except click.Abort:  # Ctrl-C at the question is an answer to it
        return False

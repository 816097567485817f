"""Which form is a plan shown in?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from alembic_safe.reporting.plan_ci import github, sarif
from alembic_safe.reporting.plan_html import history_html, plans_html
from alembic_safe.reporting.plan_json import history_json, plans_json
from alembic_safe.reporting.plan_markdown import plan_markdown, plans_markdown
from alembic_safe.reporting.plan_sql import plans_sql
from alembic_safe.reporting.plan_text import files_text, history_text, plan_text
from alembic_safe.reporting.text import say_in_one_line, width

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic_safe.deploying.planning import Planned
    from alembic_safe.deploying.safe_plan import SafePlan


def plan_report(found: tuple[Planned, ...], form: str) -> str:
    """Return the plans in one of the forms that the command knows."""
    plans = [planned.plan for planned in found if planned.plan is not None]
    forms: dict[str, Callable[[], str]] = {
        "text": lambda: plan_text(found, width()), "json": lambda: plans_json(found), "markdown": lambda: plans_markdown(found),
        "github": lambda: github(plans), "sarif": lambda: sarif(plans), "sql": lambda: plans_sql(plans),
        "html": lambda: plans_html(found),
    }  # fmt: skip
    return forms[form]()


def tell_unused(found: tuple[Planned, ...]) -> None:
    """Say on stderr which consents fit nothing: that is no part of the plan, whichever form it has."""
    for line in (line for planned in found for line in planned.unused):
        say_in_one_line("Note", line, stream=sys.stderr)


def files_report(plan: SafePlan, form: str) -> str:
    """Return what was found in changed files."""
    return files_text(plan, width()) if form == "text" else history_report(plan, form)


def history_report(plan: SafePlan, form: str) -> str:
    """Return what was found in a whole history."""
    forms: dict[str, Callable[[], str]] = {
        "text": lambda: history_text(plan, width()), "json": lambda: history_json(plan),
        "markdown": lambda: "\n".join(plan_markdown(plan)) + "\n", "github": lambda: github([plan]),
        "sarif": lambda: sarif([plan]), "sql": lambda: plans_sql([plan]), "html": lambda: history_html(plan),
    }  # fmt: skip
    return forms[form]()

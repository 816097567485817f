"""How does SQL of a default, a generated column or a check reach a file and the server with every colon and percent sign?"""

# SQLAlchemy's text() takes :word for a parameter, and makes NULL of it where nobody gave it a value; a default that was
# reflected is such a text. Alembic writes SQL as the driver takes it: each % twice, and no backslash before a colon.
from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import _render_check_constraint, _render_server_default
from sqlalchemy import CheckConstraint, Computed, DefaultClause, TextClause, text
from sqlalchemy.dialects import postgresql

from alembic_safe.authoring.change_operations import plain_text
from alembic_safe.operations.statement_text import arrives, for_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import Column

    RenderItem = Callable[[str, Any, AutogenContext], Any]

# characters of the private use area, which Alembic lets alone
_HIDDEN = (("\ue025", "%"), ("\ue026", ":"), ("\ue027", r"\\"))


def default_sql(default: Any) -> str:
    """Return a server default as SQL.

    :param default: as a column has it, or as a person gave it.
    """
    given = getattr(default, "arg", default)
    if isinstance(given, str):
        return "'" + given.replace("'", "''") + "'"
    if isinstance(given, TextClause) and getattr(default, "reflected", False):
        return given.text
    return sql_text(given)


def reflected_default(default: Any) -> Any:
    """Return a default that was reflected so that it can be said again."""
    if isinstance(default, DefaultClause) and isinstance(default.arg, TextClause) and default.reflected:
        return DefaultClause(plain_text(default.arg.text))
    return default


def own_default(column: Column[Any]) -> Any:
    """Return the default that a reflected column has of its own: SQLAlchemy gives it that of its domain, too."""
    default, type_ = column.server_default, column.type
    if isinstance(type_, postgresql.DOMAIN) and type_.default is not None and isinstance(default, DefaultClause):
        return None if sql_text(default.arg) == str(type_.default) else default
    return default


def sql_text(given: Any) -> str:
    """Return an SQL expression of the models or of a reflected table: its columns without their table, its values in it."""
    if isinstance(given, TextClause) and not any(_has_value(bind) for bind in given._bindparams.values()):  # noqa: SLF001
        return arrives(given.text)
    if not hasattr(given, "compile"):
        return str(given)
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call,unused-ignore]
    kw = {"literal_binds": True, "include_table": False}
    return str(given.compile(dialect=dialect, compile_kwargs=kw))


def _has_value(bind: Any) -> bool:
    return bind.value is not None or bind.callable is not None


def exactly(render_item: RenderItem | None) -> RenderItem:
    """Return a ``render_item`` for autogenerate that writes SQL so that it says the same in the file.

    :param render_item: the project's own, which is asked first.
    """

    def render(type_: str, object_: Any, context: AutogenContext) -> Any:
        found = render_item(type_, object_, context) if render_item else False
        if found is not False:
            return found
        if type_ == "check" and isinstance(object_, CheckConstraint):
            hidden = _hidden(sql_text(object_.sqltext))
            if hidden is None:
                return False
            check: Any = copy.copy(object_)
            check.sqltext = hidden
            return _shown(_render_check_constraint(check, context, None))
        if type_ != "server_default":
            return False
        if isinstance(object_, Computed):
            hidden = _hidden(sql_text(object_.sqltext))
            made: Any = None if hidden is None else Computed(hidden, persisted=object_.persisted)
        else:
            is_sql = isinstance(object_, DefaultClause) and not isinstance(object_.arg, str)
            hidden = _hidden(default_sql(object_)) if is_sql else None
            made = None if hidden is None else DefaultClause(hidden)
        return False if made is None else _shown(_render_server_default(made, context))

    render.is_exact = True  # type: ignore[attr-defined]
    return render


def _hidden(sql: str) -> TextClause | None:
    """Return SQL as Alembic lets it be; ``None`` where there is nothing to hide, or all is hidden already."""
    given = for_text(sql)
    if given == sql and "%" not in sql:
        return None
    for hidden, shown in _HIDDEN:
        given = given.replace("\\" if shown == r"\\" else shown, hidden)
    return text(given)


def _shown(found: str | None) -> str | None:
    for hidden, shown in _HIDDEN:
        found = found.replace(ascii(hidden)[1:-1], shown) if found else found
    return found

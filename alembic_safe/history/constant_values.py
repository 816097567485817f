"""Is a value the same wherever it is, and can it ask nobody anything?"""

from __future__ import annotations

import enum
import types
from typing import Any

import alembic.op
import sqlalchemy
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.base import SchemaEventTarget
from sqlalchemy.types import TypeEngine

BUILTINS = frozenset({
    "range", "enumerate", "zip", "list", "tuple", "dict", "set", "frozenset", "str", "int", "float", "bool", "len", "sorted",
    "reversed", "min", "max", "sum", "any", "all", "repr", "format", "isinstance", "True", "False", "None",
})  # fmt: skip
"""What a revision may call of Python's own."""
NOT_PURE = frozenset({
    "inspect", "create_engine", "engine_from_config", "create_mock_engine", "event", "orm", "engine", "pool",
})  # fmt: skip
"""What of SQLAlchemy's reaches a database."""


_OF_SCHEMAS = (ClauseElement, SchemaEventTarget, TypeEngine, enum.Enum)


def is_constant(value: Any) -> bool:
    """Whether a value is a plain one, or something of SQLAlchemy's that has no connection."""
    if value is None or value is alembic.op or isinstance(value, (str, bytes, int, float, *_OF_SCHEMAS)):
        return True
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_constant, value))
    if isinstance(value, dict):
        return all(map(is_constant, [*value.keys(), *value.values()]))
    if isinstance(value, types.ModuleType):
        return _is_sqlalchemys(value.__name__)
    name = getattr(value, "__name__", "")
    if isinstance(value, type) and issubclass(value, _OF_SCHEMAS):
        return True
    if getattr(value, "__module__", "") == "builtins":
        return name in BUILTINS
    return _is_sqlalchemys(getattr(value, "__module__", None) or type(value).__module__) and name not in NOT_PURE


def _is_sqlalchemys(name: str) -> bool:
    top, _, rest = name.partition(".")
    return top == sqlalchemy.__name__ and rest.partition(".")[0] not in {
        "orm",
        "engine",
        "pool",
        "event",
        "ext",
        "inspection",
    }

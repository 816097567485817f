"""May rows convert behind the statements of a plan that do not convert before them?"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alembic_safe.inspecting.syncs import SYNC_SCHEMA

if TYPE_CHECKING:
    from alembic_safe.inspecting.trace import Change, Relation, Statement

_PARTS = "TABLE|INDEX|VIEW|MATERIALIZED VIEW|SEQUENCE|TRIGGER|POLICY|RULE|STATISTICS|PUBLICATION|EVENT TRIGGER"
_HARMLESS = re.compile(
    rf"(CREATE|ALTER|DROP) ({_PARTS})|CREATE (TABLE AS|SCHEMA|TYPE|DOMAIN)"
    "|(SELECT|INSERT|UPDATE|DELETE|MERGE|COPY|TRUNCATE TABLE|ANALYZE|VACUUM|REINDEX|CLUSTER|REFRESH MATERIALIZED VIEW"
    "|LOCK TABLE|COMMENT|GRANT|REVOKE|SECURITY LABEL|SHOW|BEGIN|COMMIT|START TRANSACTION)( .*)?"
)
"""The tags of statements of a person's of which the trace shows whatever makes a value convert."""
_ELSEWHERE = ("type", "routine", "domain constraint", "enum value", "extension", "schema")
_ONLY_MORE = ("type", "domain constraint", "schema")
"""What makes no value convert by coming: a formula that needs it cannot be asked without it."""


@dataclass
class Loosened:
    """What the statements that were followed so far may have let convert.

    :param anywhere: a type, a function, a cast, or what nobody saw, is another one.
    :param labels: an enum that was there has more labels.
    :param relations: tables in which a column is of another type.
    """

    anywhere: bool = False
    labels: bool = False
    relations: set[Relation | None] = field(default_factory=set)

    def follow(self, statement: Statement) -> None:
        """Take part in what a statement does."""
        harmless = statement.ours or _HARMLESS.fullmatch(statement.tag) or _only_adds_labels(statement)
        self.anywhere = self.anywhere or not harmless
        for change in statement.changes:
            if change.kind == "column" and change.what in {"type", "collation", "generated"}:
                self.relations.add(change.relation)
            elif change.kind == "enum value" and change.action == "added":
                self.labels = self.labels or not _is_made_by(statement, change.after[0])
            elif change.kind in _ELSEWHERE and not _is_ours(change):
                self.anywhere = self.anywhere or not (change.action == "added" and change.kind in _ONLY_MORE)

    def may_convert(self, relation: Relation, *, by_label: bool) -> bool:
        """Whether rows of a table that do not convert now may do so by then.

        :param by_label: whether they are known to hold none of the labels that their enum has by then.
        """
        return self.anywhere or relation in self.relations or (self.labels and not by_label)


def _is_made_by(statement: Statement, type_: str) -> bool:
    return any(one.kind == "type" and one.action == "added" and one.after[0] == type_ for one in statement.changes)


def _only_adds_labels(statement: Statement) -> bool:
    added = [change.kind == "enum value" and change.action == "added" for change in statement.changes]
    return statement.tag == "ALTER TYPE" and bool(added) and all(added)


def _is_ours(change: Change) -> bool:
    return change.kind == "routine" and change.name.startswith(f"{SYNC_SCHEMA}.")

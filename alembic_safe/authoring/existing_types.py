"""How is a named type written into a file that is there already when a table uses it?"""

# SQLAlchemy 2.0 leaves create_type out of what an ENUM says of itself, and that is what Alembic writes: with it missing, the
# file would make the type a second time.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterable


class _ExistingEnum(postgresql.ENUM):
    def __repr__(self) -> str:
        return _said(super().__repr__())


class _ExistingDomain(postgresql.DOMAIN):
    def __repr__(self) -> str:
        return _said(super().__repr__())


for _type, _name in ((_ExistingEnum, "ENUM"), (_ExistingDomain, "DOMAIN")):
    # by these Alembic finds out how a type is imported, and SQLAlchemy what it is called
    _type.__module__, _type.__name__ = postgresql.ENUM.__module__, _name


def _said(text: str) -> str:
    return text if "create_type=" in text else f"{text[:-1]}, create_type=False)"


def existing_enum(labels: Iterable[str], name: str, schema: str | None) -> postgresql.ENUM:
    """Return an enum that no table creates.

    :param labels: in their order.
    """
    return _ExistingEnum(*labels, name=name, schema=schema, create_type=False)


def existing_domain(domain: postgresql.DOMAIN) -> postgresql.DOMAIN:
    """Return a domain that no table creates."""
    known: dict[str, Any] = {
        key: getattr(domain, key) for key in ("collation", "default", "constraint_name", "not_null", "check", "schema")
    }
    return _ExistingDomain(str(domain.name), domain.data_type, create_type=False, **known)

"""Which version of the models is the application on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from shop.models import v1, v2, v3, v4
from shop.models.draft import metadata_of

if TYPE_CHECKING:
    from sqlalchemy import MetaData

VERSIONS = {"v1": v1, "v2": v2, "v3": v3, "v4": v4}
"""v1 is what the revisions in ``migrations/`` build; the others are features to come."""


def target_metadata(version: str | None = None) -> MetaData:
    """Return the metadata of one version of the models, newly made.

    :param version: ``v1`` to ``v4``; unless given, the environment variable ``SHOP_MODELS``, else ``v1``.
    :raises ValueError: when there is no such version.
    """
    version = version or os.environ.get("SHOP_MODELS") or "v1"
    if version not in VERSIONS:
        raise ValueError(
            f"SHOP_MODELS={version}: there is no such version of the models; there are {', '.join(VERSIONS)}"
        )
    return metadata_of(VERSIONS[version].tables())

"""What is told before the first table of ours is made in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic_safe.database.first_contact import look, reader_grant_lines, schema_grant_line
from alembic_safe.deploying.declare import refuse_publications
from alembic_safe.deploying.events import Noted

if TYPE_CHECKING:
    from alembic_safe.database.first_contact import FirstContact
    from alembic_safe.deploying.upgrade import Upgrade


def note_first_contact(upgrade: Upgrade) -> FirstContact:
    """Look at what making our tables means here and tell it; stop where it would hurt somebody.

    :raises ConsentMissing: for a publication of all tables that nobody has consented to.
    :raises Missing: when this role may make tables nowhere.
    """
    contact = look(upgrade.connection, upgrade.identity.place, upgrade.settings.schema, upgrade.target.version_schema)
    refuse_publications(contact, upgrade.request.accept, "alembic safe-upgrade")
    if contact.home.prefix:
        upgrade.tell(
            Noted(
                "Journal",
                f"goes into schema {contact.home.schema}; a schema of its own would need:\n"
                f"  {schema_grant_line(upgrade.identity.place)}",
            )
        )
    for reader in contact.readers:
        lines = "\n".join("  " + line for line in reader_grant_lines(reader, contact.home))
        out = (
            f"--exclude-schema={contact.home.schema}" if not contact.home.prefix else "--exclude-table='alembic_safe_*'"
        )
        upgrade.tell(
            Noted(
                "Backups",
                f"{reader} may read every table of the application, and would not be able to read the journal: a"
                f" pg_dump of that role would fail from now on. Let it read, or leave the journal out ({out}):\n{lines}",
            )
        )
    return contact

"""Which commands are there, in which module, and what does each do in a line? Standard library only."""

from __future__ import annotations

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("dev-push", "dev_push", "Apply the models to the development database at once: no revision file, no row lost."),
    ("milestone", "milestone", "Make one proven revision of what was pushed to the development database."),
    ("squash", "squash", "Make one revision of all up to one, proven equal; originals stay for databases on the way."),
    ("safe-adopt", "adopt", "Make a revision of what was changed by hand, and stamp this database with it."),
    ("safe-backup", "backup", "Take a verified backup of the database with pg_dump."),
    ("safe-baseline", "baseline", "Find or write the revision that an existing database is at, and stamp it."),
    (
        "safe-check",
        "check",
        "Judge changed revision files with no database but an embedded server: for pre-commit and CI.",
    ),
    (
        "safe-contract",
        "contract",
        "Bring the parked contracts of open changes into the chain, check them, or give one up.",
    ),
    ("safe-diff", "diff", "Show in what two schemas differ: models, files, databases, dumps; writes nothing."),
    ("safe-explain", "explain", "Explain a hazard: what it does to whom, and what to do instead."),
    ("safe-guard", "guard", "Show, set or lend out what this database allows: environment, protection, grants."),
    ("safe-init", "init", "Wire alembic-safe into an Alembic environment; shows every edit first."),
    ("safe-plan", "plan", "Show what pending revisions would do to the database: locks, hazards, what to do instead."),
    ("safe-purge", "purge", "List what was retired, and destroy it after consent by name."),
    ("safe-rehearse", "rehearse", "Run pending revisions on a stand-in: the schema, a backup restored, or staging."),
    ("safe-restore", "restore", "Restore a backup into a new database, checked and compared."),
    ("safe-shadow", "shadow", "List or remove shadows: throw-away databases in which revisions are replayed."),
    ("safe-status", "status", "Show where the database stands and whether anything is wrong; writes nothing."),
    ("safe-upgrade", "upgrade", "Deploy pending revisions: guarded, backed up, lock-safe, resumable."),
)
"""Our commands: name, module in :mod:`alembic_safe.commands`, the line in ``alembic --help``."""

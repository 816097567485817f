"""What stays as it was: Alembic beside us, on every version that we support."""

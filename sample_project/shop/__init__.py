"""A small mail-order shop for Europe: the sample project of alembic-safe."""

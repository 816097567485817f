"""``python -m alembic_safe``."""

from alembic_safe.commands import main

if __name__ == "__main__":
    main()

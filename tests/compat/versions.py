"""Shows which versions a tox environment runs on, and fails when they are not those that its name says."""

# `tox run -e py310-alembic1184-sa20-pg16` must not pass on versions that some later requirement moved.
from __future__ import annotations

import os
import re
import sys
from importlib.metadata import version


def found() -> dict[str, str]:
    """Return the versions that this process runs on, written as tox's factors write them."""
    alembic, sqlalchemy = version("alembic"), version("sqlalchemy")
    return {
        "py": f"{sys.version_info.major}{sys.version_info.minor}",
        "alembic": alembic.replace(".", ""),
        "sa": "".join(sqlalchemy.split(".")[:2]),
        "pg": os.environ.get("ALEMBIC_SAFE_TEST_POSTGRES", "16"),
    }


def main(name: str) -> int:
    """Print the versions, and each that contradicts the environment's name.

    :param name: the name of the tox environment.
    :return: 0 when nothing contradicts it, 1 otherwise.
    """
    versions = found()
    print(f"{name}: Python {sys.version.split()[0]}, Alembic {version('alembic')}, SQLAlchemy {version('sqlalchemy')},"
          f" psycopg {version('psycopg')}, PostgreSQL {versions['pg']}")  # fmt: skip
    named = re.findall(r"(?:^|-)(py|alembic|sa|pg)(\d+)(?=-|$)", name)
    wrong = [
        f"{name} names {kind}{said}, and runs on {kind}{versions[kind]}"
        for kind, said in named
        if said != versions[kind]
    ]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

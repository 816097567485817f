"""Write docs/hazards/ anew from the records: ``python -m tests.hazard_pages``."""

from __future__ import annotations

from pathlib import Path

from alembic_safe.inspecting.hazards import HAZARDS
from alembic_safe.reporting.hazards import pages


def main() -> None:
    folder = Path(__file__).parent.parent / "docs" / "hazards"
    folder.mkdir(exist_ok=True)
    made = pages(HAZARDS)
    for path in folder.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

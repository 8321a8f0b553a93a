"""The journal's migrations as text.

No SQLite library is imported here, so that any process may read them.
"""

from importlib import resources


def migration_files() -> list[tuple[str, str]]:
    """Return name and text of every journal migration, in order."""
    folder = resources.files("agent.journal").joinpath("migrations")
    found = [
        (f.name, f.read_text(encoding="utf-8")) for f in folder.iterdir() if f.name.endswith(".sql")
    ]
    return sorted(found)

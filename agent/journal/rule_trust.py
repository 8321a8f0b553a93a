"""What this till trusts about rules: a root document and how new the newest manifest was.

Outlives the cache, so that nobody can hand the till older rules by deleting a file.
"""

from dataclasses import dataclass

from agent.journal.database import Database


@dataclass(frozen=True, slots=True)
class Trust:
    """The one row.

    Attributes:
        root: signed root document, bytes; empty before the first.
        generation, version: of the manifest taken last.
        bundle: hash of what it named.
    """

    root: bytes = b""
    generation: int = 0
    version: int = 0
    bundle: str = ""


class RuleTrust:
    """Keeps it; changes happen inside a transaction of the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> Trust:
        """Return what is trusted."""
        row = self._database.row("select root, generation, version, bundle from rule_trust")
        return Trust(*row) if row else Trust()  # type: ignore[arg-type]

    def write(self, trust: Trust) -> None:
        """Trust this in place of what was trusted before."""
        self._database.run(
            "insert or replace into rule_trust values (1, ?, ?, ?, ?)",
            trust.root, trust.generation, trust.version, trust.bundle,
        )  # fmt: skip

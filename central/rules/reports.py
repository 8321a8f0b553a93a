"""What tills say of their rules at HELLO, kept for the guards and for people."""

from central.database.named_sql import load_queries
from central.database.pool import Connection
from sync.messages import Hello

_SQL = load_queries("central.rules", "queries.sql")


async def note_report(connection: Connection, till_id: int, hello: Hello, *, now_ms: int) -> None:
    """Keep what a till said of its rules in place of what it said before."""
    rules = hello.rules
    await connection.execute(
        _SQL["tell_rules"], till_id, rules.generation, rules.version, hello.bundle, rules.refused,
        rules.why, rules.calculated, rules.slow, rules.dropped, now_ms,
    )  # fmt: skip

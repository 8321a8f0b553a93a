"""What tills say of their rules at HELLO and between, kept for the guards and for people."""

from central.database.named_sql import load_queries
from central.database.pool import Connection
from sync.rule_messages import RulesReport

_SQL = load_queries("central.rules", "queries.sql")


async def note_report(
    connection: Connection,
    till_id: int,
    bundle: str,
    rules: RulesReport,
    *,
    now_ms: int,
    number: int = 0,
) -> bool:
    """Keep what a till said of its rules in place of what it said before.

    Args:
        bundle: hash of what is in force there.
        number: of a report in its session; 0 = a HELLO's, with which a session begins.

    Returns:
        Whether it was news: not one that came late or twice.
    """
    done = await connection.execute(
        _SQL["tell_rules"], till_id, rules.generation, rules.version, bundle, rules.refused,
        rules.why.replace("\0", ""), rules.calculated, rules.slow, rules.dropped, now_ms, number,
    )  # fmt: skip
    return done == "INSERT 0 1"

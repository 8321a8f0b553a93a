"""The centre: the authoritative ledger, the rules and the registry of tills, over PostgreSQL.

Where to begin: `bootstrap.py` joins the parts; a record takes the way `streams` -> `ledger` ->
outcome -> feed. `system.py` alone reads the clock and randomness, `database/` alone knows how a
server is started, reached and migrated.
"""

__version__ = "0.1.0"

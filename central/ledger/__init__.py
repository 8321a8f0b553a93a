"""The authoritative ledger of points: accounts, lots, double entry, and the proof they agree."""

"""The rules, pure: integers in, integers out; no I/O, no clock, no randomness, no third party.

Read in this order: `money`, `basket`, `account`, `offers`, `bundle` (what comes in), `compilation`
(offers to an index), `calculate` (the main path: combination, redemption, earning), `calculation`
(what goes out), `returns`, `entries` and `balances` (what the ledger makes of it).
"""

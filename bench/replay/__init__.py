"""A year of many stores calculated basket by basket, beside what the customers really paid.

Read in this order: `one_store` (the way of a basket), `foretelling` (prices from other baskets
alone), `checks` (what must hold whatever the prices are), `figures` (what is counted), `summary`.
Run it with `make replay`; docs/replay.md says what it proves and what it does not.
"""

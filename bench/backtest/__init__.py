"""Back-tests on real baskets: how fast, and how near what then happened.

Read in this order: `real_archive` (real baskets as an archive), `speed`, `first_day` (the predicted
discount of a week's first day beside what was paid). Run it with `make bench-backtest`.
"""

"""Receipts of the past, kept in columns and calculated again with and without a draft of rules.

Read in this order: `archiving` (posted receipts become Parquet files) over `archive` (the folder)
and `columns` (what is in a file); `change` (what a draft says) and `pairs` (a bundle without and
with it); `batch` (THE pure function: a batch of columns -> figures) over `touching`, `reading` and
`figures`; then who calls it: `processes` here, `spark_job` on a chain's Spark. `report` writes.
Needs the extra `backtest` (pyarrow); nothing else of the centre imports this package.
"""

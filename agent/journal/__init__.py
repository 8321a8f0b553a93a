"""The till's durable memory: streams of records, rights, receipts.

One SQLite file, one writer, FULL synchronous.
"""

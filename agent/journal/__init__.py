"""The till's durable memory: streams of records, rights, receipts; one SQLite file, one writer, FULL synchronous."""

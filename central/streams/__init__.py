"""What tills send: ingest keeps bytes and acknowledges, apply makes ledger of them (sync 4.7)."""

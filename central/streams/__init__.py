"""What tills send: ingest keeps the bytes and acknowledges, apply makes ledger of them (design: sync 4.7)."""

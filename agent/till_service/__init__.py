"""What the till decides: a basket's way from first scan to recorded receipt, and returns."""

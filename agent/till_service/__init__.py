"""What the till decides: the way of a basket from the first scan to the recorded receipt, and returns."""

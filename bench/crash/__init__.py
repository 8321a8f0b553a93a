"""Power cuts at every input and output of a till's day, and real processes killed at any moment."""

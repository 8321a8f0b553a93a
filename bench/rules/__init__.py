"""Rules on their way to fifty thousand tills: how long it takes, and what it costs in bytes."""

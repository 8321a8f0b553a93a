"""People's data: kept sealed and apart, shown to those who may, exported, and erased everywhere."""

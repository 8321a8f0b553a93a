"""What the centre tells monitoring: counters of a process and figures of the database."""

"""Runs simulated worlds by seed, several at a time: `python -m bench.simulate`."""

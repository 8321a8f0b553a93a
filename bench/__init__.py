"""Loaders, demo and measurements on real data; never shipped."""

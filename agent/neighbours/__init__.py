"""Tills of one store among themselves: who is there, points, copies of records.

Nothing here stands in a sale's way: a sibling that is silent, mad or hostile costs 150 ms once.
"""

"""Measures the centre: online purchases, intake after an outage, storms, kills, growth."""

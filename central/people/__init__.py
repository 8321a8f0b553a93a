"""Customers: their accounts, cards and opening lots, loaded from files of another system."""

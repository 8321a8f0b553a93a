"""Tells other systems what happened: events, their outbox, and the brokers they go to."""

"""Pages for people: one status page so far."""

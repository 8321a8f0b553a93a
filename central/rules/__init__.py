"""Rule bundles: published from offer documents, named by their hash, signed, kept for ever."""

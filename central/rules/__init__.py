"""Rule bundles: published from offer documents, named by their hash, signed, found again for ever."""

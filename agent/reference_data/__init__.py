"""What the till can be told again: accounts and rule bundles, in a disposable SQLite file."""

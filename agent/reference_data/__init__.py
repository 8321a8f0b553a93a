"""What the till was told and can be told again: accounts and rule bundles, in a disposable SQLite file."""

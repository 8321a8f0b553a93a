-- Days of the ledger, closed with the root of a Merkle tree over their entries (RFC 6962) and the centre's signature.

-- A day's entries are those numbered above the last of the day before, up to its own last. While a seal's end is chosen
-- nobody is writing, so that no entry can get a number behind it later.
create table ledger_seal (
    seal_id bigint primary key,
    day text not null unique,
    first_entry bigint not null,
    last_entry bigint not null,
    entries bigint not null check (entries >= 0),
    root bytea not null,
    previous bytea not null,
    public_key bytea not null,
    signature bytea not null,
    sealed_at_ms bigint not null,
    check (last_entry >= first_entry - 1)
);
create trigger ledger_seal_append_only before update or delete or truncate on ledger_seal
    for each statement execute function refuse_change();

-- Entries get ascending numbers: an index that costs next to nothing to keep finds a range of them.
create index ledger_entry_in_order on ledger_entry using brin (entry_id);
create index ledger_posting_in_order on ledger_posting using brin (entry_id);

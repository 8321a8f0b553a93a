-- The last record of each stream that is no longer here; the centre keeps it durably.
create table pruned (
    incarnation blob primary key,
    seq integer not null check (seq > 0),
    hash blob not null
) strict, without rowid;

-- For receipts that are open, counts by state, and those old enough to go: none of them reads the rows.
create index receipt_by_state on receipt (state, updated_at_ms);

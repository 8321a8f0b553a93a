-- Seals of the ledger's days.

-- name: hold_writers
-- Waits for whoever is writing entries and lets nobody begin: a moment, when a day is to be sealed.
select keep_ledger_still();

-- name: one_sealer
select pg_advisory_xact_lock(hashtextextended('ledger seal', 0));

-- name: last_entry
select coalesce(max(entry_id), 0)::bigint from ledger_entry;

-- name: last_seal
select seal_id, day, last_entry, root from ledger_seal order by seal_id desc limit 1;

-- name: entries
-- A range of entries with their postings, in order.
select e.entry_id, e.account_id, e.kind, e.subject, e.arrival, e.at_ms,
    array_agg(p.ledger_account order by p.leg) as ledger_accounts, array_agg(p.lot_id order by p.leg) as lot_ids,
    array_agg(p.points order by p.leg) as points
from ledger_entry e join ledger_posting p using (account_id, entry_id)
where e.entry_id > $1 and e.entry_id <= $2 and p.entry_id > $1 and p.entry_id <= $2
group by e.account_id, e.entry_id order by e.entry_id;

-- name: insert_seal
insert into ledger_seal (seal_id, day, first_entry, last_entry, entries, root, previous, public_key, signature,
    sealed_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: seals
select seal_id, day, first_entry, last_entry, entries, root, previous, public_key, signature, sealed_at_ms
from ledger_seal order by seal_id;

-- name: newest_seals
select seal_id, day, first_entry, last_entry, entries, root, previous, public_key, signature, sealed_at_ms
from ledger_seal order by seal_id desc limit $1;

-- name: seal_of_entry
select seal_id, day, first_entry, last_entry, entries, root, previous, public_key, signature, sealed_at_ms
from ledger_seal where first_entry <= $1 and last_entry >= $1;

-- name: keep_blocks
-- Several may have made those of an older day at a time.
insert into ledger_seal_block (seal_id, block, last_entry, root)
select $1, b.number - 1, b.last_entry, b.root
from unnest($2::bigint[], $3::bytea[]) with ordinality b (last_entry, root, number)
on conflict do nothing;

-- name: blocks
select last_entry, root from ledger_seal_block where seal_id = $1 order by block;

-- name: entries_of_subject
-- Of a receipt, and of whatever it caused later: returns name it by their own keys.
select entry_id from ledger_entry where subject = $1 order by entry_id;

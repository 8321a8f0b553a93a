-- Receipts the centre calculates otherwise (central/streams/unequal.py), by the index of those alone.

-- name: place
select posted_at_ms from receipt where sale_key = $1 and not equal;

-- name: newest
-- $1, $2: those before this one.
select r.sale_key, r.till_id, r.store_id, r.moment, r.bundle, r.posted_at_ms, r.calculation, r.recalculation
from receipt r where not r.equal and r.posted_at_ms <= $1::bigint and (r.posted_at_ms < $1::bigint or r.sale_key < $2::text)
order by r.posted_at_ms desc, r.sale_key desc limit $3;

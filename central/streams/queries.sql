-- Streams of tills: the contiguous prefix, branches, outcomes, and what was made of them.

-- name: newest_number
select coalesce(max(incarnation_number), 0) from till_stream where till_id = $1;

-- name: open_stream
insert into till_stream (till_id, incarnation, incarnation_number, last_hash, opened_at_ms)
values ($1, $2, $3, $4, $5) on conflict do nothing;

-- name: stream
select incarnation, incarnation_number, last_seq, last_hash from till_stream where till_id = $1 and incarnation = $2;

-- name: lock_stream
select incarnation, incarnation_number, last_seq, last_hash from till_stream
where till_id = $1 and incarnation = $2 for update;

-- name: known_hashes
select seq, hash from inbox
where till_id = $1 and incarnation = $2 and not branch and seq between $3 and $4;

-- name: insert_records
insert into inbox (till_id, incarnation, seq, hash, body, branch, received_at_ms)
select $1, $2, seq, hash, body, $3, $4
from unnest($5::bigint[], $6::bytea[], $7::bytea[]) as r (seq, hash, body) order by seq
on conflict do nothing;

-- name: advance
update till_stream set last_seq = $3, last_hash = $4 where till_id = $1 and incarnation = $2;

-- name: to_apply
select arrival, till_id, incarnation, seq, hash, body, branch from inbox
where not applied and parked_for is null order by arrival limit $1;

-- name: claim
select arrival from inbox where arrival = $1 and not applied and parked_for is null for update skip locked;

-- name: mark_applied
update inbox set applied = true, parked_for = null where arrival = $1;

-- name: park
update inbox set parked_for = $2 where arrival = $1;

-- name: unpark
update inbox set parked_for = null where parked_for = $1;

-- name: unpark_found
-- What was waited for may have come just before the record was parked.
update inbox i set parked_for = null
where not i.applied and i.parked_for is not null and case
    when i.parked_for like 'card:%'
    then exists (select 1 from card c where c.card = decode(substr(i.parked_for, 6), 'hex'))
    else exists (select 1 from receipt r where r.sale_key = substr(i.parked_for, 6)) end;

-- name: decide
insert into outcome (arrival, till_id, incarnation, seq, outcome, reason, points, decided_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (arrival) do update set outcome = excluded.outcome, reason = excluded.reason, points = excluded.points,
    decided_at_ms = excluded.decided_at_ms;

-- name: tell_till
insert into feed (scope, arrival) values ($1, $2);

-- name: tell_stores
-- Every store that keeps the account hears of its change.
insert into feed (scope, account_id) select 'store:' || store_id, account_id from store_interest where account_id = $1;

-- name: add_interest
insert into store_interest (store_id, account_id) values ($1, $2) on conflict do nothing;

-- name: account_of_card
select account_id from card where card = $1;

-- name: insert_receipt
insert into receipt (sale_key, account_id, arrival, till_id, store_id, moment, bundle, gross_minor, discount_minor,
    redeemed_minor, redeemed_points, paid_minor, earned_points, link_up, equal, calculation, recalculation, posted_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
on conflict (sale_key) do nothing returning sale_key;

-- name: receipt
select r.sale_key, r.account_id, r.calculation, i.hash from receipt r join inbox i using (arrival) where sale_key = $1;

-- name: body_of_receipt
select i.body from receipt r join inbox i using (arrival) where sale_key = $1;

-- name: lock_receipt
select account_id, calculation from receipt where sale_key = $1 for update;

-- name: returned_lines
select line_id from returned_line where sale_key = $1;

-- name: insert_refund
insert into refund (refund_key, sale_key, arrival, lines, money_back_minor, points_back, taken_back)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: refund
select sale_key, lines from refund where refund_key = $1;

-- name: insert_returned_lines
insert into returned_line (sale_key, line_id, refund_key) select $1, unnest($2::text[]), $3;

-- name: insert_void
insert into voided_key (sale_key, arrival) values ($1, $2) on conflict do nothing;

-- name: till_is_revoked
select revoked from till where till_id = $1;

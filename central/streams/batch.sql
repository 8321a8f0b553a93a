-- Records posted together: what many of them need is read at once, what became of them is written at once.

-- name: claim
select arrival from inbox where arrival = any($1::bigint[]) and not applied and parked_for is null
order by arrival for update skip locked;

-- name: tills
select t.till_id, t.store_id, t.revoked, s.programme, exists (select from programme where programme <> '') as are_several,
    (select wanted from outbox_state where id = 1) as is_wanted
from till t join store s using (store_id) where t.till_id = any($1::bigint[])
    or t.till_id in (select p.till_id from right_place p where p.key = any($2::text[]));

-- name: programmes_of_accounts
select account_id, programme from account where account_id = any($1::bigint[]);

-- name: lock_sale_keys
-- In their order, so that two batches never wait for each other in a ring; see `lock_sale_key`.
select pg_advisory_xact_lock(k.lock) from (
    select distinct hashtextextended(key, 0) as lock from unnest($1::text[]) as w (key) order by lock) k;

-- name: accounts_of_cards
select card, programme, account_id from card where card = any($1::bytea[]);

-- name: accounts_of_erased_cards
-- Of customers whom some till may not have forgotten yet: what it sold them before is theirs.
select e.card, a.programme, e.account_id from erased_card e join account a using (account_id)
where e.card = any($1::bytea[]) order by e.number;

-- name: waited
-- Nobody was known by their cards when they came.
select arrival from outcome where arrival = any($1::bigint[]) and outcome = 'parked';

-- name: posted_receipts
-- And those that were given up by hand, which are never posted: without a record.
select sale_key, account_id, arrival from receipt where sale_key = any($1::text[])
union all select key, null, null from given_up where key = any($1::text[]) and kind = 'sale';

-- name: bodies
select arrival, body from inbox where arrival = any($1::bigint[]);

-- name: insert_receipts
insert into receipt (sale_key, account_id, arrival, till_id, store_id, moment, bundle, gross_minor, discount_minor,
    redeemed_minor, redeemed_points, paid_minor, earned_points, link_up, equal, calculation, recalculation, posted_at_ms,
    business_moment, service, qualifying_points, counted)
select r.*, r.account_id is not null from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[],
    $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
    $14::bool[], $15::bool[], $16::bytea[], $17::bytea[], $18::bigint[], $19::text[], $20::text[],
    $21::bigint[])
    as r (sale_key, account_id, arrival, till_id, store_id, moment, bundle, gross_minor, discount_minor, redeemed_minor,
    redeemed_points, paid_minor, earned_points, link_up, equal, calculation, recalculation, posted_at_ms, business_moment,
    service, qualifying_points);

-- name: insert_stale
insert into stale_receipt (sale_key, till_id, release, bundle, discount_minor, points, posted_at_ms)
select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]);

-- name: insert_voids
insert into voided_key (sale_key, arrival) select * from unnest($1::text[], $2::bigint[]) on conflict do nothing;

-- name: end_all
-- What became of records: applied, or waiting for what `parked_for` says; the tills hear of it. What waited for a receipt
-- that is posted now waits no longer.
with ended as (
    update inbox i set applied = e.parked_for = '', parked_for = nullif(e.parked_for, '')
    from unnest($1::bigint[], $9::text[]) as e (arrival, parked_for) where i.arrival = e.arrival
), unparked as (
    update inbox set parked_for = null where parked_for = any($10::text[])
), decided as (
    -- What was posted stays as it was decided, though the record is looked at again (`keep_records`).
    insert into outcome (arrival, till_id, incarnation, seq, outcome, reason, points, decided_at_ms)
    select * from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
        $8::bigint[])
    on conflict (arrival) do update set outcome = excluded.outcome, reason = excluded.reason, points = excluded.points,
        decided_at_ms = excluded.decided_at_ms
    where outcome.outcome in ('parked', 'rejected_kept')
)
insert into feed (scope, arrival)
select 'till:' || t.till_id, t.arrival from unnest($2::bigint[], $1::bigint[], $11::bool[]) as t (till_id, arrival, branch)
where not t.branch;

-- name: tell_stores
-- Stores hear of the accounts they keep.
insert into feed (scope, account_id)
select 'store:' || s.store_id, s.account_id from store_interest s where s.account_id = any($1::bigint[]);

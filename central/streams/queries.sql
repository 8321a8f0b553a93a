-- Streams of tills: the contiguous prefix, branches, outcomes, and what was made of them.

-- name: newest_number
select coalesce(max(incarnation_number), 0) from till_stream where till_id = $1;

-- name: was_followed
-- A later stream of the till has begun some time ago, or the till was revoked and is silent for as long.
select exists (
    select 1 from till_stream where till_id = $1 and incarnation_number > $2 and opened_at_ms <= $3)
or exists (select 1 from till where till_id = $1 and revoked and last_seen_ms <= $3);

-- name: open_stream
insert into till_stream (till_id, incarnation, incarnation_number, last_hash, opened_at_ms)
values ($1, $2, $3, $4, $5) on conflict do nothing;

-- name: stream
select incarnation, incarnation_number, last_seq, last_hash, durable_seq
from till_stream where till_id = $1 and incarnation = $2;

-- name: lock_streams
-- Everything that is asked of the streams that pushes are of; locked in their order.
select s.till_id, s.incarnation, s.incarnation_number, s.last_seq, s.last_hash, s.durable_seq, s.caught_up_ms,
       case when t.session_incarnation = s.incarnation then t.session_seq end as session_seq, t.session_opened_ms,
       (select max(n.incarnation_number) from till_stream n where n.till_id = s.till_id) as newest
from unnest($1::bigint[], $2::bytea[]) as w (till_id, incarnation)
join till_stream s on s.till_id = w.till_id and s.incarnation = w.incarnation join till t on t.till_id = s.till_id
order by s.till_id, s.incarnation for update of s;

-- name: opened_streams
select s.till_id, s.incarnation from unnest($1::bigint[], $2::bytea[]) as w (till_id, incarnation)
join till_stream s on s.till_id = w.till_id and s.incarnation = w.incarnation;

-- name: known_hashes
select w.number, i.seq, i.hash
from unnest($1::int[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[]) as w (number, till_id, incarnation, first, last)
join inbox i on i.till_id = w.till_id and i.incarnation = w.incarnation and not i.branch
    and i.seq between w.first and w.last;

-- name: keep_records
-- In the order given: of one stream, that of its records. What a sibling handed in beyond a gap, and was kept beside the
-- stream, belongs to it once what was missing has come, and is decided again: beside it, rights were not moved.
-- Streams advance with them, and note when the centre had everything the till had at its last HELLO (`note_caught_up`).
with kept as (
    insert into inbox (till_id, incarnation, seq, hash, body, branch, received_at_ms, not_before_ms)
    select till_id, incarnation, seq, hash, body, branch, $8, not_before_ms
    from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bool[], $7::bigint[])
        with ordinality as r (till_id, incarnation, seq, hash, body, branch, not_before_ms, number) order by number
    on conflict (till_id, incarnation, hash) do update set branch = false, applied = false
    where inbox.branch and not excluded.branch
), advanced as (
    update till_stream s set last_seq = a.seq, last_hash = a.hash,
        caught_up_ms = case when t.session_incarnation = s.incarnation and a.seq >= t.session_seq
            then greatest(s.caught_up_ms, t.session_opened_ms) else s.caught_up_ms end
    from unnest($9::bigint[], $10::bytea[], $11::bigint[], $12::bytea[]) as a (till_id, incarnation, seq, hash)
    join till t on t.till_id = a.till_id
    where s.till_id = a.till_id and s.incarnation = a.incarnation
)
select pg_notify('tillside_ingested', '');

-- name: common_before
-- Before when records beside a stream cannot have been written: what both have of the chain came before them.
select coalesce(max(not_before_ms), 0)::bigint from inbox where till_id = $1 and incarnation = $2 and hash = any($3::bytea[]);

-- name: last_before
-- The same for records beyond a gap: the centre's last one of the stream came before them.
select coalesce((select i.not_before_ms from till_stream s join inbox i on i.till_id = s.till_id
    and i.incarnation = s.incarnation and i.seq = s.last_seq and not i.branch
    where s.till_id = $1 and s.incarnation = $2), 0)::bigint;

-- name: insert_records
insert into inbox (till_id, incarnation, seq, hash, body, branch, received_at_ms, not_before_ms)
select $1, $2, seq, hash, body, $3, $4, not_before_ms
from unnest($5::bigint[], $6::bytea[], $7::bytea[], $8::bigint[]) as r (seq, hash, body, not_before_ms) order by seq
on conflict do nothing;

-- name: note_caught_up
update till_stream s set caught_up_ms = greatest(s.caught_up_ms, t.session_opened_ms) from till t
where s.till_id = $1 and s.incarnation = $2 and t.till_id = s.till_id and t.session_incarnation = s.incarnation
  and s.last_seq >= t.session_seq and s.caught_up_ms < t.session_opened_ms;

-- name: to_apply
-- The first ones, as many as are no more than so many bytes together; one at least. Of all tills where $3 is null, else of a
-- share (see `sharing`): each slice is looked at by itself, so that what waits for other processes is in nobody's way.
-- `rules` says when releases have changed.
select arrival, till_id, incarnation, seq, hash, body, branch, received_at_ms, not_before_ms, (select number from rule_change) as rules
from (
    select i.*, sum(octet_length(body)) over (order by arrival) - octet_length(body) as bytes_before from (
        (select arrival from inbox where $3::bigint[] is null and not applied and parked_for is null order by arrival limit $1)
        union all (
            select n.arrival from unnest($3::bigint[]) as s (slice) cross join lateral (
                select k.arrival from inbox k where k.till_id % 16 = s.slice and not k.applied and k.parked_for is null
                order by k.arrival limit $1) n
            order by n.arrival limit $1)) f join inbox i using (arrival)
) r where bytes_before < $2 order by arrival;

-- name: begin_to_share
-- The session ends itself where its process does not look any more (a machine without power, a process that hangs).
select set_config('idle_session_timeout', $2, false), pg_advisory_lock_shared($1::bigint);

-- name: shares
-- Which of those who hold it this one is, and how many they are.
select (count(*) filter (where l.pid < pg_backend_pid()))::int as number, count(*)::int as of from pg_locks l
where l.locktype = 'advisory' and l.mode = 'ShareLock' and l.granted and l.objsubid = 1
  and l.classid::bigint = $1::bigint >> 32 and l.objid::bigint = $1 & 4294967295
  and l.database = (select oid from pg_database where datname = current_database());

-- name: claim
select arrival from inbox where arrival = $1 and not applied and parked_for is null for update skip locked;

-- name: mark_applied
update inbox set applied = true, parked_for = null where arrival = $1;

-- name: park
update inbox set parked_for = $2 where arrival = $1;

-- name: unpark
update inbox set parked_for = null where parked_for = $1;

-- name: decide
-- What was posted stays as it was decided, though the record is looked at again (`keep_records`).
insert into outcome (arrival, till_id, incarnation, seq, outcome, reason, points, decided_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (arrival) do update set outcome = excluded.outcome, reason = excluded.reason, points = excluded.points,
    decided_at_ms = excluded.decided_at_ms
where outcome.outcome in ('parked', 'rejected_kept');

-- name: tell_till
insert into feed (scope, arrival) values ($1, $2);

-- name: tell_stores
-- Every store that keeps the account hears of its change.
insert into feed (scope, account_id) select 'store:' || store_id, account_id from store_interest where account_id = $1;

-- name: account_of_receipt
select account_id from receipt where sale_key = $1;

-- name: lock_receipt
select account_id, calculation from receipt where sale_key = $1 for update;

-- name: returns_of_receipt
-- A row for each line of each return posted so far.
select refund_key, charged_back_minor, line_id, quantity from refund join returned_line using (refund_key, sale_key)
where sale_key = $1 order by refund_key, line_id;

-- name: given_up
-- Whether a return was given up by hand, or its receipt.
select kind from given_up where (kind = 'refund' and key = $1) or (kind = 'sale' and key = $2);

-- name: insert_refund
insert into refund (refund_key, sale_key, arrival, money_back_minor, charged_back_minor, deducted_minor, deducted_points,
    points_back, taken_back, qualifying_points)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: refund
select sale_key from refund where refund_key = $1;

-- name: insert_returned_lines
insert into returned_line (sale_key, refund_key, line_id, quantity)
select $1, $2, line_id, quantity from unnest($3::text[], $4::bigint[]) as l (line_id, quantity);

-- name: returnable_points
-- What a return of a receipt could take from its account: the receipt's own lots, and others that still count.
select coalesce(sum(available), 0)::bigint from lot
where account_id = $1 and (sale_key = $2 or restriction = '' and (expires_on = '' or expires_on > $3));

-- name: till_is_revoked
select revoked from till where till_id = $1;

-- name: touch_account
-- Tills hear of the account again although nothing of it has changed: which of their records it holds has.
update account set version = version + 1 where account_id = $1;

-- name: add_to_counters
-- Receipts arrive in any order: the one made last says when and where.
insert into account_counter (account_id, name, value, ends_on, used_at, used_store)
select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
on conflict (account_id, name) do update set
    value = least(account_counter.value + excluded.value, 4611686018427387904),
    used_at = greatest(account_counter.used_at, excluded.used_at),
    used_store = case when excluded.used_at >= account_counter.used_at
        then excluded.used_store else account_counter.used_store end;

-- name: forget_counters
-- Those whose period is long over; beyond the most that are kept, those not used for longest.
delete from account_counter c using (
    select account_id, name from (
        select account_id, name, ends_on, row_number() over (partition by account_id order by used_at desc, name) as place
        from account_counter where account_id = any($1::bigint[])) n
    where ends_on <> '' and ends_on < $2 or place > $3
) f
where c.account_id = any($1) and c.account_id = f.account_id and c.name = f.name;

-- name: counted_receipt
select account_id from receipt where sale_key = $1 and counted;

-- name: uncount_receipt
update receipt set counted = false where sale_key = $1;

-- name: take_purchase
update account set purchases = purchases - 1 where account_id = $1;

-- name: take_from_counters
with taken as (
    select name, minus from unnest($2::text[], $3::bigint[]) as c (name, minus)
), emptied as (
    delete from account_counter a using taken t where a.account_id = $1 and a.name = t.name and a.value <= t.minus
)
update account_counter a set value = a.value - t.minus from taken t
where a.account_id = $1 and a.name = t.name and a.value > t.minus;

-- name: bodies_before
-- Consecutive, for a contiguous stream has no gaps.
select seq, hash, body from inbox
where till_id = $1 and incarnation = $2 and not branch and seq between $3 and $4 order by seq;

-- name: come_back
-- Of an erased account: it is to be emptied once more (central/privacy/erasing.py), which its home says.
update account set home_store = coalesce((select store_id from receipt where sale_key = $2), '') where account_id = $1;

-- name: tills_that_sold
-- What says which rules a till should have had; as it said last, the bundle it refused.
select t.till_id, t.store_id, s.region, s.programme, s.time_zone, coalesce(r.refused, '') as refused
from till t join store s using (store_id) left join till_rules r using (till_id) where t.till_id = any($1::bigint[]);

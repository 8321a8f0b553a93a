-- name: store
select store_id, region, banner, time_zone from store where store_id = $1;

-- name: put_store
insert into store (store_id, region, banner, time_zone, programme) values ($1, $2, $3, $4, $5)
on conflict (store_id) do update set region = excluded.region, banner = excluded.banner, time_zone = excluded.time_zone,
    programme = excluded.programme;

-- name: insert_code
insert into enrolment_code (code_hash, store_id, slot, is_vault, expires_at_ms) values ($1, $2, $3, $4, $5);

-- name: lock_code
select code_hash, store_id, slot, is_vault, expires_at_ms, till_id from enrolment_code
where code_hash = $1 for update;

-- name: use_code
update enrolment_code set till_id = $2, used_at_ms = $3 where code_hash = $1;

-- name: leave_place
-- Those that had a till's place in its store before hold no customer's points there any more.
update till set is_vault = false where store_id = $1 and slot = $2 and is_vault;

-- name: insert_till
insert into till (store_id, slot, public_key, hardware, is_vault, enrolled_at_ms) values ($1, $2, $3, $4, $5, $6)
returning till_id;

-- name: tills
select t.till_id, t.store_id, t.public_key, t.revoked, t.session, t.session_verified, t.session_incarnation,
       s.region, s.banner, s.programme, coalesce(r.refused, '') as refused_bundle, t.bundle, f.through as forgotten,
       t.last_seen_ms, t.receipts_waiting, t.quarantined_at_ms is not null as quarantined,
       (select coalesce(max(number), 0) from erasure) as erasures
from till t join store s using (store_id) left join till_rules r using (till_id)
left join till_forgotten f using (till_id) where till_id = any($1::bigint[]);

-- name: till_of_key
select till_id from till where public_key = $1;

-- name: open_session
update till set session = $2, session_verified = $3, session_incarnation = $4, last_seen_ms = $5, bundle = $6,
    software = $7, receipts_waiting = $8, rights_points = $9, session_seq = $10 where till_id = $1;

-- name: verify_sessions
update till t set session_verified = true, last_seen_ms = $3, receipts_waiting = 0
from unnest($1::bigint[], $2::bytea[]) as v (till_id, session) where t.till_id = v.till_id and t.session = v.session;

-- name: seen
update till set last_seen_ms = $2, bundle = $3 where till_id = $1;

-- name: reported
-- Only in the session that is live now: a HELLO may have come between. A report that is none (rules: tell_rules) changes nothing.
update till t set last_seen_ms = $2, bundle = case when exists (
    select from till_rules r where r.till_id = t.till_id and r.report >= $5) then t.bundle else $3 end
where t.till_id = $1 and t.session = $4 returning t.till_id;

-- name: revoke
update till set revoked = true where till_id = $1;

-- name: pull_rows
-- One statement, qualified names: rows past the cursor that no running transaction can still precede (design: sync 1.7).
select f.xid as transaction, f.id, f.account_id, f.arrival from feed f
where f.scope = any($1) and (f.xid, f.id) > ($2::xid8, $3) and f.xid < pg_snapshot_xmin(pg_current_snapshot())
order by f.xid, f.id limit $4;

-- name: account_rows
select * from account_told where account_id = any($1::bigint[]) order by account_id, card;

-- name: accounts_asked
-- Only of the store's own customers.
select t.* from store_interest s join account_told t using (account_id)
where s.store_id = $1 and account_id = any($2::bigint[]) order by account_id, card;

-- name: account_of_card
select account_id from card where card = $1 and programme = $2;

-- name: account_row_of_card
select * from account_told where account_id = $1 and card = $2;

-- name: card_of_account
select card from card where account_id = $1 and programme = $2 order by card limit 1;

-- name: snapshot_rows
-- One statement, so that each account and what is applied of the till's records are of one moment. Where accounts are spread
-- there is none: central/tills/snapshots.py.
select w.number, a.*, coalesce((
    select jsonb_agg(jsonb_build_array(encode(s.incarnation, 'hex'), s.last_seq, to_jsonb(s.waiting)))
    from stream_waiting s
    where s.till_id = w.till_id and (s.incarnation = w.incarnation or cardinality(s.waiting) > 0)), '[]')::text as streams
from unnest($1::int[], $2::bytea[], $3::bigint[], $4::bytea[], $5::text[])
    as w (number, card, till_id, incarnation, programme)
join card p on p.card = w.card and p.programme = w.programme join account_told a on a.account_id = p.account_id and a.card = p.card;

-- name: is_spread
select is_spread();

-- name: accounts_of_cards
select card, programme, account_id from card where card = any($1::bytea[]);

-- name: streams_shown
-- Of each till what is applied of its records.
select w.till_id, w.incarnation, coalesce((
    select jsonb_agg(jsonb_build_array(encode(s.incarnation, 'hex'), s.last_seq, to_jsonb(s.waiting)) order by s.incarnation)
    from stream_waiting s
    where s.till_id = w.till_id and (s.incarnation = w.incarnation or cardinality(s.waiting) > 0)), '[]')::text as streams
from unnest($1::bigint[], $2::bytea[]) as w (till_id, incarnation);

-- name: applied_streams
select incarnation, last_seq, waiting from stream_waiting
where till_id = $1 and (incarnation = $2 or cardinality(waiting) > 0);

-- name: outcome_rows
select incarnation, seq, outcome, reason, points from outcome where arrival = any($1::bigint[]) order by arrival;

-- name: applied_through
select coalesce(min(i.seq) - 1, (select last_seq from till_stream where till_id = $1 and incarnation = $2), 0)
from inbox i where i.till_id = $1 and i.incarnation = $2 and not i.branch and not i.applied and i.parked_for is null;

-- name: is_applied
select not exists(select from inbox i where i.till_id = $1 and i.incarnation = $2 and not i.branch and not i.applied
                  and i.parked_for is null);

-- name: receipt_of_key
select calculation from receipt where sale_key = $1;

-- name: roster
-- One statement, as every pull asks it; in the order in which vaults share accounts. With each till that is revoked all keys up to then are over: that till has them.
select array(select till_id from till where store_id = $1 and not revoked order by length(slot), slot, till_id) as till_ids,
       array(select public_key from till where store_id = $1 and not revoked order by length(slot), slot, till_id) as public_keys,
       array(select bus_address from till where store_id = $1 and not revoked order by length(slot), slot, till_id) as addresses,
       array(select is_vault from till where store_id = $1 and not revoked order by length(slot), slot, till_id) as vaults,
       array(select number from store_bus_key k where k.store_id = $1 and k.number > gone.tills
             order by number desc limit $2) as key_numbers,
       array(select secret from store_bus_key k where k.store_id = $1 and k.number > gone.tills
             order by number desc limit $2) as secrets,
       gone.tills as revoked
from (select count(*) as tills from till where store_id = $1 and revoked) gone;

-- name: insert_bus_key
insert into store_bus_key (store_id, number, secret) values ($1, $2, $3) on conflict do nothing;

-- name: listens_at
update till set bus_address = $2 where till_id = $1 and bus_address <> $2;

-- name: feed_epoch
select epoch from feed_state;

-- name: feed_goes_on
-- A cursor ahead of every transaction is of a history that a copy put back has undone.
select epoch = $1 and floor <= $2::xid8 and $2::xid8 <= pg_snapshot_xmax(pg_current_snapshot()) from feed_state;

-- name: feed_now
-- Every row of an older transaction is in this snapshot; of this one and newer ones all come again.
select epoch, pg_snapshot_xmin(pg_current_snapshot()) as transaction, (select version from blocked_state) as blocked
from feed_state;

-- name: blocked_floor
-- The last version before those of the newest blocked cards, as many as a till keeps.
select version from blocked_card where programme = $2 and is_blocked order by version desc offset $1 limit 1;

-- name: blocked_cards
-- Of a list told from its beginning no card that is not in it any more.
select substr(card, 1, 8) as beginning, is_blocked, version from blocked_card
where programme = $4 and version > $1 and (is_blocked or $2) order by version limit $3;

-- name: accounts_held
select c.card, a.account_id, a.version
from store_interest s join account a using (account_id) join account_card c using (account_id) where s.store_id = $1;

-- name: rows_of_buckets
select t.* from store_interest s join account_told t using (account_id)
where s.store_id = $1 and get_byte(t.card, 0) = any($2::int[]) order by t.card;

-- name: watch_epoch
-- Floor and marks are of the old life's numbers: kept, they would send tills to compare again and again.
with here as (
    select s.system_identifier || '/' || c.timeline_id as cluster
    from pg_control_system() s, pg_control_checkpoint() c
), forgotten as (
    delete from feed_mark using here, feed_state s where s.cluster <> here.cluster
)
update feed_state set cluster = here.cluster, floor = '0',
    epoch = case when feed_state.cluster = '' then feed_state.epoch else greatest(feed_state.epoch + 1, $1) end
from here, feed_state before where feed_state.cluster <> here.cluster and before.id = feed_state.id
returning before.cluster <> '' as is_another;

-- name: begin_epoch
with forgotten as (delete from feed_mark)
update feed_state set epoch = greatest(epoch + 1, $1), floor = '0' returning epoch;

-- name: mark_feed
insert into feed_mark (at_ms, xid) select $1, pg_snapshot_xmin(pg_current_snapshot())
where not exists (select from feed_mark where at_ms > $2) on conflict do nothing;

-- name: floor_of
-- Up to where rows are old, and the first old one with news that tiers have not read, where there are terms of tiers.
with old as (select max(xid) as xid from feed_mark where at_ms <= $1),
read as (
    select case when c.epoch = s.epoch then c.transaction else '0' end as transaction,
        case when c.epoch = s.epoch then c.row else 0 end as row
    from tier_cursor c, feed_state s where c.id = 1 and exists (select from tier_terms)
)
select (select xid from old) as old,
    (select f.xid from feed f
     where (f.xid, f.id) > ((select transaction from read), (select row from read)) and f.xid < (select xid from old)
       and f.account_id is not null order by f.xid, f.id limit 1) as unread;

-- name: raise_floor
update feed_state set floor = greatest(floor, $1::xid8);

-- name: sweep_feed
delete from feed where ctid = any(array(select ctid from feed where xid < $1::xid8 limit $2));

-- name: forget_marks
delete from feed_mark where xid < $1::xid8;

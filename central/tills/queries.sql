-- name: store
select store_id, region, banner, time_zone from store where store_id = $1;

-- name: put_store
insert into store (store_id, region, banner, time_zone) values ($1, $2, $3, $4)
on conflict (store_id) do update set region = excluded.region, banner = excluded.banner, time_zone = excluded.time_zone;

-- name: insert_code
insert into enrolment_code (code_hash, store_id, slot, is_vault, expires_at_ms) values ($1, $2, $3, $4, $5);

-- name: lock_code
select code_hash, store_id, slot, is_vault, expires_at_ms, till_id from enrolment_code
where code_hash = $1 for update;

-- name: use_code
update enrolment_code set till_id = $2, used_at_ms = $3 where code_hash = $1;

-- name: insert_till
insert into till (store_id, slot, public_key, hardware, is_vault, enrolled_at_ms) values ($1, $2, $3, $4, $5, $6)
returning till_id;

-- name: till
select t.till_id, t.store_id, t.public_key, t.revoked, t.session, t.session_verified, t.session_incarnation,
       s.region, s.banner from till t join store s using (store_id) where till_id = $1;

-- name: till_of_key
select till_id from till where public_key = $1;

-- name: open_session
update till set session = $2, session_verified = $3, session_incarnation = $4, last_seen_ms = $5, bundle = $6,
    software = $7, receipts_waiting = $8, rights_points = $9, session_seq = $10 where till_id = $1;

-- name: verify_session
update till set session_verified = true, last_seen_ms = $3, receipts_waiting = 0 where till_id = $1 and session = $2;

-- name: seen
update till set last_seen_ms = $2, bundle = $3 where till_id = $1;

-- name: revoke
update till set revoked = true where till_id = $1;

-- name: fleet
select t.till_id, t.store_id, t.slot, t.revoked, t.last_seen_ms, t.bundle, t.software, t.receipts_waiting,
       t.rights_points, coalesce(sum(s.last_seq), 0)::bigint as records
from till t left join till_stream s using (till_id) group by t.till_id order by t.store_id, t.till_id;

-- name: pull_rows
-- One statement, qualified names: rows past the cursor that no running transaction can still precede (design: sync 1.7).
select f.xid as transaction, f.id, f.account_id, f.arrival from feed f
where f.scope = any($1) and (f.xid, f.id) > ($2::xid8, $3) and f.xid < pg_snapshot_xmin(pg_current_snapshot())
order by f.xid, f.id limit $4;

-- name: account_rows
select * from account_told where account_id = any($1::bigint[]) order by account_id, card;

-- name: account_row_of_card
select * from account_told where card = $1;

-- name: snapshot_row
-- One statement, so that the account and what is applied of the till's records are of one moment.
select a.*, coalesce((
    select jsonb_agg(jsonb_build_array(encode(s.incarnation, 'hex'), s.last_seq, to_jsonb(s.waiting)))
    from stream_waiting s
    where s.till_id = $2 and (s.incarnation = $3 or cardinality(s.waiting) > 0)), '[]')::text as streams
from account_told a where a.card = $1;

-- name: applied_streams
select incarnation, last_seq, waiting from stream_waiting
where till_id = $1 and (incarnation = $2 or cardinality(waiting) > 0);

-- name: outcome_rows
select incarnation, seq, outcome, reason, points from outcome where arrival = any($1::bigint[]) order by arrival;

-- name: applied_through
select coalesce(min(i.seq) - 1, (select last_seq from till_stream where till_id = $1 and incarnation = $2), 0)
from inbox i where i.till_id = $1 and i.incarnation = $2 and not i.branch and not i.applied and i.parked_for is null;

-- name: receipt_of_key
select calculation from receipt where sale_key = $1;

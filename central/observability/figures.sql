-- What monitoring asks of the database every few seconds: nothing here looks through accounts or receipts, and what
-- may be many is counted up to a bound.

-- name: tills
-- $1: now; $2: so long without a word a till is silent.
select count(*) filter (where revoked) as revoked,
       count(*) filter (where not revoked and last_seen_ms = 0) as new,
       count(*) filter (where not revoked and last_seen_ms > 0 and last_seen_ms >= $1::bigint - $2::bigint) as up,
       count(*) filter (where not revoked and last_seen_ms > 0 and last_seen_ms < $1::bigint - $2::bigint) as silent,
       count(*) filter (where not revoked and last_seen_ms > 0 and last_seen_ms < $1::bigint - 3600000) as silent_hour,
       count(*) filter (where not revoked and last_seen_ms > 0 and last_seen_ms < $1::bigint - 86400000) as silent_day,
       count(*) filter (where not revoked and last_seen_ms > 0 and last_seen_ms < $1::bigint - 604800000) as silent_week,
       count(*) filter (where not revoked and quarantined_at_ms is not null) as quarantined,
       coalesce(max($1::bigint - last_seen_ms) filter (where not revoked and last_seen_ms > 0), 0)::bigint as silence_max_ms,
       coalesce(sum(receipts_waiting) filter (where not revoked), 0)::bigint as receipts_waiting
from till;

-- name: quarantined
-- Tills that run on two machines, the last found first.
select till_id from till where quarantined_at_ms is not null and not revoked order by quarantined_at_ms desc, till_id limit $1;

-- name: quarantined_stores
select store_id, count(*) as tills from till where quarantined_at_ms is not null and not revoked
group by store_id order by 2 desc, 1 limit $1;

-- name: software
select case when software = '' then 'unknown' else software end as version, count(*) as tills
from till where not revoked group by 1 order by 2 desc, 1;

-- name: rules
select coalesce(b.version, 0) as version, count(*) as tills
from till t left join bundle b on b.hash = t.bundle where not t.revoked group by 1 order by 1 desc;

-- name: silent_stores
-- Stores none of whose tills is heard: one line or one power cut, not many tills.
select t.store_id, s.region, s.banner, count(*) as tills, min($1::bigint - t.last_seen_ms)::bigint as silence_ms
from till t join store s using (store_id) where not t.revoked and t.last_seen_ms > 0
group by t.store_id, s.region, s.banner having max(t.last_seen_ms) < $1::bigint - $2::bigint
order by 5 desc, 1 limit $3;

-- name: silent_stores_count
select count(*) from (select from till where not revoked and last_seen_ms > 0
    group by store_id having max(last_seen_ms) < $1::bigint - $2::bigint) silent;

-- name: unapplied
-- Counted up to a bound: after an outage there are millions, and that there are many is enough. In the order of an
-- index of those alone: a planner that believes there are many would look through all records for the first ones.
select (select count(*) from (select from inbox where not applied and parked_for is null order by arrival limit $1) w) as waiting,
       (select count(*) from (select from inbox where not applied and parked_for is not null order by parked_for limit $1) p) as parked;

-- name: inbox
select coalesce($1::bigint - (select received_at_ms from inbox where not applied and parked_for is null
           order by arrival limit 1), 0)::bigint as waiting_ms,
       coalesce($1::bigint - (select min(received_at_ms) from (select received_at_ms from inbox
           where not applied and parked_for is not null order by parked_for limit $2) o), 0)::bigint as parked_ms,
       (select count(*) from (select from receipt where not equal
           and posted_at_ms > $1::bigint - 3600000 limit $2) u) as unequal_hour,
       (select count(*) from (select from outcome where outcome = 'rejected_kept' and reason like 'could not be applied%'
           and decided_at_ms > $1::bigint - 3600000 limit $2) q) as quarantined_hour,
       (select count(*) from (select from outcome where outcome = 'rejected_kept' and decided_at_ms > $1::bigint - 3600000
           and (reason like 'not a receipt of this centre%'
               or reason in ('its points do not add up', 'it counts what no receipt counts')) limit $2) r) as rejected_hour;

-- name: events
-- What is published lies below the floor: rows that cannot be taken away yet are not walked through.
select (select count(*) from (select from outbox where event_id >= s.floor order by event_id limit $2) w) as waiting,
       (select count(*) from (select from outbox_dead limit $2) d) as dead,
       coalesce($1::bigint - (select at_ms from outbox where event_id >= s.floor order by event_id limit 1), 0)::bigint
           as waiting_ms
from outbox_state s where s.id = 1;

-- name: feed
-- The feed tells nothing that a running transaction might still precede. Who runs it only the server's owner may see.
select (select count(*) from (select from feed where xid >= pg_snapshot_xmin(s.now) limit $1) h) as held,
       pg_snapshot_xmin(s.now)::text as oldest, pg_snapshot_xmin(s.now) < pg_snapshot_xmax(s.now) as runs
from (select pg_current_snapshot() as now) s;

-- name: releases
select state, count(*) as releases from rule_release group by state;

-- name: halted
select version from rule_release where state = 'halted' and changed_at_ms > $1::bigint - 86400000 order by version;

-- name: seals
-- How many days that are over have entries and no seal, at most; the day before the first seal is no gap.
select greatest((select $1::text::date - 1 - max(day)::date from ledger_seal), 0)::integer as unsealed_days;

-- name: server
select (select sum(numbackends) from pg_stat_database)::bigint as connections,
       current_setting('max_connections')::integer as connections_max,
       pg_database_size(current_database()) as bytes;

-- name: oldest_beyond
-- When the oldest record came that is acknowledged and not behind the mark: one look for each stream that has one.
select min(n.received_at_ms) from till_stream s cross join lateral (
    select received_at_ms from inbox i where i.till_id = s.till_id and i.incarnation = s.incarnation
        and i.seq > s.durable_seq and not i.branch order by i.till_id, i.incarnation, i.seq limit 1) n
where s.durable_seq < s.last_seq;

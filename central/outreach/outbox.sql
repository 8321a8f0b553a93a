-- Events between the moment they happened and the broker.

-- name: write
insert into outbox (id, key, type, data, at_ms)
select id, key, type, data, $4 from unnest($5::uuid[], $1::text[], $2::text[], $3::text[])
    with ordinality as e (id, key, type, data, number)
where (select wanted from outbox_state where id = 1) order by number;

-- name: lock_key
select pg_advisory_xact_lock(hashtextextended('events of ' || $1, 0));

-- name: want
update outbox_state set wanted = $1 where id = 1 and wanted <> $1;

-- name: lead
-- One process publishes: two would mix the order of an account's events.
select pg_try_advisory_lock($1);

-- name: next
-- In order, without those behind a refused one.
select event_id, id, key, type, data, at_ms from outbox o
where event_id >= $3 and not exists (select from outbox_waiting w where w.key = o.key and w.until_ms > $1)
order by event_id limit $2;

-- name: first_number
select event_id from outbox where event_id >= $1 order by event_id limit 1;

-- name: put_floor
update outbox_state set floor = $1 where id = 1 and floor <> $1;

-- name: published
with gone as (delete from outbox where event_id = any($1::bigint[]) returning key)
delete from outbox_waiting w using gone g where w.key = g.key;

-- name: refused
insert into outbox_waiting (key, attempts, until_ms, why) values ($1, 1, $2, $3)
on conflict (key) do update set attempts = outbox_waiting.attempts + 1, until_ms = excluded.until_ms, why = excluded.why;

-- name: attempts
select key, attempts from outbox_waiting where key = any($1::text[]);

-- name: bury
with gone as (delete from outbox where event_id = $1 returning *),
waits as (delete from outbox_waiting w using gone g where w.key = g.key)
insert into outbox_dead (event_id, id, key, type, data, at_ms, why, dead_at_ms)
select event_id, id, key, type, data, at_ms, $2, $3 from gone;

-- name: state
-- Counted up to a bound: a broker that is away leaves millions. What is published lies below the floor.
select s.wanted, (select count(*) from (select from outbox where event_id >= s.floor order by event_id limit $1) w) as waiting,
    (select at_ms from outbox where event_id >= s.floor order by event_id limit 1) as oldest_ms,
    (select count(*) from (select from outbox_waiting limit $1) r) as refused,
    (select count(*) from (select from outbox_dead limit $1) d) as dead
from outbox_state s where s.id = 1;

-- name: dead
select event_id, id, key, type, data, at_ms, why, dead_at_ms from outbox_dead order by event_id limit $1;

-- name: resend
-- Behind everything that waits: its place in the order is gone.
with gone as (delete from outbox_dead where event_id = $1 returning *)
insert into outbox (id, key, type, data, at_ms) select id, key, type, data, at_ms from gone returning event_id;

-- name: count_dead
select count(*) as number, coalesce(max(event_id), 0) as newest from outbox_dead
where ($1 = '' or type = $1) and ($2 = '' or key = $2) and ($3::bigint is null or dead_at_ms >= $3)
    and ($4::bigint is null or dead_at_ms < $4);

-- name: resend_some
-- Behind everything that waits, and among themselves in the order they happened.
with chosen as (
    select event_id from outbox_dead
    where ($1 = '' or type = $1) and ($2 = '' or key = $2) and ($3::bigint is null or dead_at_ms >= $3)
        and ($4::bigint is null or dead_at_ms < $4) and event_id <= $5
    order by event_id limit $6 for update),
gone as (delete from outbox_dead d using chosen c where d.event_id = c.event_id returning d.*),
again as (
    insert into outbox (id, key, type, data, at_ms) select id, key, type, data, at_ms from gone order by event_id
    returning true)
select count(*) from again;

-- name: drop_dead
delete from outbox_dead where event_id = $1 returning true;

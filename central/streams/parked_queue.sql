-- The manual queue of parked records (central/streams/parked_queue.py).

-- name: count
-- Counted up to a bound: $3.
select count(*) from (select from inbox i join till t using (till_id)
    where i.parked_for is not null and not i.applied and ($1::text = '' or t.store_id = $1) and i.received_at_ms <= $2
      and not exists (select from given_up g where g.arrival = i.arrival) limit $3) w;

-- name: waiting
-- Those that came first; bodies are read of what is shown alone.
select i.arrival, i.till_id, w.store_id, i.body, i.received_at_ms, i.parked_for from (
    select i.arrival, t.store_id from inbox i join till t using (till_id)
    where i.parked_for is not null and not i.applied and ($1::text = '' or t.store_id = $1) and i.received_at_ms <= $2
      and not exists (select from given_up g where g.arrival = i.arrival)
    order by i.received_at_ms, i.arrival limit $3) w
join inbox i using (arrival) order by i.received_at_ms, i.arrival;

-- name: waits
select i.arrival, i.till_id, t.store_id, i.body, i.received_at_ms, i.parked_for from inbox i join till t using (till_id)
where i.arrival = $1 and i.parked_for is not null and not i.applied
  and not exists (select from given_up g where g.arrival = i.arrival);

-- name: give_up
insert into given_up (arrival, kind, key, person, reason, at_ms) values ($1, $2, $3, $4, $5, $6);

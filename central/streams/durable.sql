-- The durable mark of streams: what copies of the database hold.

-- name: streams_of_copy
select till_id, incarnation, last_seq, last_hash from till_stream where last_seq > 0 order by till_id, incarnation;

-- name: marks_of_copy
-- Of streams as a copy has them, those that are the beginning of this centre's: links of chains differ from where they do.
select w.till_id, w.incarnation, w.seq
from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[]) as w (till_id, incarnation, seq, hash)
join inbox i on i.till_id = w.till_id and i.incarnation = w.incarnation and i.seq = w.seq and i.hash = w.hash and not i.branch;

-- name: last_arrival
select coalesce(max(arrival), 0) from inbox;

-- name: arrival_at
select arrival, received_at_ms from inbox where arrival >= $1 order by arrival limit 1;

-- name: received_since
-- Where each stream's first record stands that came at the moment or later, of a part of the inbox.
select till_id, incarnation, min(seq) as seq from inbox
where arrival >= $1 and arrival < $2 and received_at_ms >= $3 and not branch group by till_id, incarnation;

-- name: streams
select till_id, incarnation, last_seq, durable_seq from till_stream where last_seq > 0 order by till_id, incarnation;

-- name: move_marks
-- Streams are locked in the order in which pushes lock them.
with wanted as (
    select * from unnest($1::bigint[], $2::bytea[], $3::bigint[]) as w (till_id, incarnation, seq)
), locked as (
    select s.till_id, s.incarnation, w.seq from till_stream s join wanted w using (till_id, incarnation)
    order by s.till_id, s.incarnation for update of s
)
update till_stream s set durable_seq = least(l.seq, s.last_seq) from locked l
where s.till_id = l.till_id and s.incarnation = l.incarnation
    and (s.durable_seq < least(l.seq, s.last_seq) or ($4 and s.durable_seq > l.seq))
returning s.till_id;

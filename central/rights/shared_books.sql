-- What many receipts draw on limits over all customers.

-- name: lock_grants
select grant_id, counter, till_id, outstanding from counter_grant
where grant_id = any($1::text[]) order by grant_id for update;

-- name: use
update counter_grant g set outstanding = g.outstanding - u.taken, used = g.used + u.taken
from unnest($1::text[], $2::bigint[]) as u (grant_id, taken) where g.grant_id = u.grant_id;

-- name: overdraw
insert into shared_counter (name, most, overdrawn, ends_on)
select name, 0, overdrawn, ends_on from unnest($1::text[], $2::bigint[], $3::text[]) as o (name, overdrawn, ends_on)
on conflict (name) do update set overdrawn = shared_counter.overdrawn + excluded.overdrawn;

-- name: note_used
update shared_counter c set last_used = greatest(c.last_used, u.used_at)
from unnest($1::text[], $2::text[]) as u (name, used_at) where c.name = u.name;

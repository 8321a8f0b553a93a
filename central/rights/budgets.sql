-- Risk budgets of tills. What a till has unsettled, over all its streams, is one row of `till_rights` with its bound.

-- name: lock_streams
-- The stream that is given to, and those of the till that have something unsettled; `open` is still to be spent.
select incarnation, risk_points_total as total, risk_points_kept as kept, risk_points_home as home,
    risk_points_total - risk_points_settled - risk_points_kept - risk_points_home as open
from till_stream where till_id = $1 and (incarnation = $2 or risk_points_total > risk_points_settled)
order by incarnation_number, incarnation for update;

-- name: give
-- $3 more, $4 of what was written off and $5 of what had come home.
update till_stream set risk_points_total = risk_points_total + $3, risk_points_kept = risk_points_kept - $4,
    risk_points_home = risk_points_home - $5,
    risk_from_seq = case when risk_points_total = 0 then $6 else risk_from_seq end,
    risk_points_max = greatest($7::bigint, risk_points_total + $3 - risk_points_settled)
where till_id = $1 and incarnation = $2;

-- name: reserve_from_pool
-- Takes what the pool has, at most what is asked; returns it.
with pool as (select free from risk_pool where id = 1 for update)
update risk_pool set free = risk_pool.free - least(pool.free, $1::bigint),
    budgets = budgets + least(pool.free, $1::bigint)
from pool where id = 1 returning least(pool.free, $1::bigint);

-- name: take_from_exposures
update risk_pool set exposures = exposures - $1, budgets = budgets + $1 where id = 1;

-- name: bound_till
-- $2: the bound, or what was unsettled before where that is more: a lowered setting takes nothing away.
insert into till_rights (till_id, risk_points, risk_points_max)
select $1, coalesce(sum(risk_points_total - risk_points_settled - risk_points_kept - risk_points_home), 0)::bigint, $2
from till_stream where till_id = $1 and risk_points_total > risk_points_settled
on conflict (till_id) do update set risk_points = excluded.risk_points, risk_points_max = excluded.risk_points_max;

-- name: count_tills
-- After what was taken from streams; what a release before this one gave beside it is within the bound from now on.
update till_rights r set risk_points = s.open, risk_points_max = greatest(r.risk_points_max, s.open)
from (
    select w.till_id, coalesce(sum(t.risk_points_total - t.risk_points_settled - t.risk_points_kept - t.risk_points_home),
        0)::bigint as open
    from unnest($1::bigint[]) as w (till_id)
    left join till_stream t on t.till_id = w.till_id and t.risk_points_total > t.risk_points_settled group by w.till_id) s
where r.till_id = s.till_id;

-- name: over
-- Streams that will spend nothing of it any more, as far as anybody knows: a later one began so long ago, or their till
-- has said nothing since then; and those of revoked tills.
select distinct s.till_id from till_stream s join till t using (till_id)
where s.risk_points_total > s.risk_points_settled + s.risk_points_home
  and (t.revoked or s.risk_points_total > s.risk_points_settled + s.risk_points_kept + s.risk_points_home and (
       t.last_seen_ms < $1 or exists (
           select 1 from till_stream n where n.till_id = s.till_id and n.incarnation_number > s.incarnation_number
             and n.opened_at_ms < $1)))
order by s.till_id limit $2;

-- name: lock_over
-- Of one till: all its streams where $2, else those that a later one followed before $3, all if it was silent since.
select s.incarnation, t.revoked, s.risk_points_kept as kept,
    s.risk_points_total - s.risk_points_settled - s.risk_points_kept - s.risk_points_home as open
from till_stream s join till t using (till_id)
where s.till_id = $1 and s.risk_points_total > s.risk_points_settled + s.risk_points_home
  and (t.revoked or $2 or t.last_seen_ms < $3 or exists (
      select 1 from till_stream n where n.till_id = s.till_id and n.incarnation_number > s.incarnation_number
        and n.opened_at_ms < $3))
order by s.incarnation_number, s.incarnation for update of s;

-- name: keep_back
update till_stream set risk_points_kept = risk_points_kept + $3, risk_written_off_at_ms = $4
where till_id = $1 and incarnation = $2;

-- name: come_home
update till_stream set risk_points_home = risk_points_home + $3, risk_points_kept = risk_points_kept - $4
where till_id = $1 and incarnation = $2;

-- name: pool_keeps_back
update risk_pool set budgets = budgets - $1, exposures = exposures + $1 where id = 1;

-- name: pool_has_again
update risk_pool set budgets = budgets - $1, exposures = exposures - $2, free = free + $1 + $2 where id = 1;

-- name: budgets_of_till
-- Points of its streams that are not settled: to be spent, and kept back since they were written off.
select coalesce(sum(risk_points_total - risk_points_settled - risk_points_kept - risk_points_home), 0)::bigint as open,
    coalesce(sum(risk_points_kept), 0)::bigint as kept
from till_stream where till_id = $1;

-- name: lock_kept
select incarnation, risk_points_kept as kept from till_stream
where till_id = $1 and risk_points_kept > 0 and risk_written_off_at_ms <= $2
order by incarnation_number, incarnation for update;

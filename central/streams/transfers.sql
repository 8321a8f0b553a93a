-- name: transfer
select account_id, transfer_id, grant_id, to_till, to_incarnation, points, spent, came_home, lots, out_known, in_known
from right_transfer where transfer_id = $1;

-- name: till_of_store
-- The receiver, when it belongs to the same store as the other till.
select t.public_key, t.session from till t join till o using (store_id) where t.till_id = $1 and o.till_id = $2;

-- name: is_given_up
select exists (select from given_up where arrival = $1 and kind = 'points');

-- name: tell_out
insert into right_transfer (account_id, transfer_id, grant_id, to_till, to_incarnation, points, lots, out_known,
    session_at_out)
values ($1, $2, $3, $4, $5, $6, $7, true, $8)
on conflict (account_id, transfer_id) do update set to_incarnation = excluded.to_incarnation,
    points = excluded.points, lots = excluded.lots, out_known = true, session_at_out = excluded.session_at_out;

-- name: tell_in
insert into right_transfer (account_id, transfer_id, grant_id, to_till, to_incarnation, points, lots, in_known)
values ($1, $2, $3, $4, $5, $6, $7, true)
on conflict (account_id, transfer_id) do update set to_incarnation = excluded.to_incarnation,
    points = excluded.points, lots = excluded.lots, in_known = true;

-- name: note_in
update right_transfer set in_known = true where transfer_id = $1 and to_till = $2 and points > 0;

-- name: note_home
update right_transfer set came_home = came_home + $3 where account_id = $1 and transfer_id = $2;

-- name: left_with_others
select coalesce(sum(greatest(points - spent - came_home, 0)), 0)::bigint from right_transfer
where account_id = $1 and grant_id = $2;

-- name: recalled_transfers
select t.transfer_id from right_transfer t join right_grant g using (account_id, grant_id)
where t.to_till = $1 and t.to_incarnation = $2 and t.in_known and t.points > t.spent + t.came_home and g.recalled
order by t.transfer_id limit 500;

-- name: stranded
-- Given away and never taken. The receiver speaks in a session that began after its record was known here: it had
-- closed the request before. What it took until then is in its stream up to $4, and all of that is here and applied.
-- One statement, so one snapshot.
select t.account_id, t.transfer_id from right_transfer t
where t.to_till = $1 and t.to_incarnation = $2 and t.points > t.spent + t.came_home
  and t.out_known and not t.in_known and t.spent = 0 and t.session_at_out <> $3
  and exists (
      select 1 from till x join till_stream s using (till_id)
      where x.till_id = $1 and x.session = $3 and x.session_verified and s.incarnation = $2 and s.last_seq >= $4)
  and not exists (
      select 1 from inbox i
      where i.till_id = $1 and i.incarnation = $2 and not i.branch and not i.applied and i.parked_for is null)
order by t.account_id, t.transfer_id limit 100;

-- name: still_stranded
select grant_id, points, lots from right_transfer
where account_id = $1 and transfer_id = $2 and not in_known and spent = 0 and came_home = 0 for update;

-- name: strand
update right_transfer set came_home = points, stranded = true where account_id = $1 and transfer_id = $2;

-- Rights of many records at once: found, locked with their accounts, written as what changed.

-- name: places
-- Whose rights are that records name, and what was authorised for a receipt (`sale:` and its key).
select grant_id, account_id from right_place where key = any($1::text[]);

-- name: rights
-- What tills hold of the accounts, what records name, and what is still authorised for receipts.
select account_id, grant_id, purpose, till_id, incarnation, sale_key, outstanding, exposure + given_up - found as exposure,
    exposure as kept, recalled, not_after_ms
from right_grant
where account_id = any($1::bigint[]) and outstanding > 0
union
select account_id, grant_id, purpose, till_id, incarnation, sale_key, outstanding, exposure + given_up - found as exposure,
    exposure as kept, recalled, not_after_ms
from right_grant
where account_id = any($2::bigint[]) and grant_id = any($3::text[])
union
select account_id, grant_id, purpose, till_id, incarnation, sale_key, outstanding, exposure + given_up - found as exposure,
    exposure as kept, recalled, not_after_ms
from right_grant
where account_id = any($2::bigint[]) and sale_key = any($4::text[]) and sale_key <> ''
    and (outstanding > 0 or exposure > 0 or given_up > found)
order by grant_id;

-- name: right_lots
select l.grant_id, l.lot_id, l.points
from unnest($1::bigint[], $2::text[]) as w (account_id, grant_id) join right_grant_lot l using (account_id, grant_id)
where l.account_id = any($1) and l.points > 0 order by l.grant_id, l.lot_id;

-- name: flag_rights
update right_grant g set received = g.received or c.received, recalled = g.recalled or c.recalled
from unnest($1::bigint[], $2::text[], $3::bool[], $4::bool[]) as c (account_id, grant_id, received, recalled)
where g.account_id = any($1) and g.account_id = c.account_id and g.grant_id = c.grant_id;

-- name: count_till_rights
select count_till_rights($1::bigint[], $2::bigint[]);

-- name: change_rights
-- A frozen right that is used or returned in part stays frozen until its till is heard of.
update right_grant g set outstanding = g.outstanding - c.taken, exposure = g.exposure - c.freed,
    found = g.found + c.found, state = case when c.state = '' then g.state else c.state end
from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
    as c (account_id, grant_id, taken, freed, found, state)
where g.account_id = any($1) and g.account_id = c.account_id and g.grant_id = c.grant_id;

-- name: change_right_lots
update right_grant_lot l set points = l.points - c.taken
from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) as c (account_id, grant_id, lot_id, taken)
where l.account_id = any($1) and l.account_id = c.account_id and l.grant_id = c.grant_id and l.lot_id = c.lot_id;

-- name: transfers
-- Those that receipts name, and all of the grants that come home; each is of its grant's account.
select account_id, transfer_id, grant_id, to_till, points, spent, came_home from right_transfer
where account_id = any($1::bigint[]) and (transfer_id = any($2::text[]) or grant_id = any($3::text[]));

-- name: note_spent_of_transfers
insert into right_transfer (account_id, transfer_id, grant_id, to_till, spent)
select * from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
on conflict (account_id, transfer_id) do update set spent = right_transfer.spent + excluded.spent;

-- name: lock_cycles
-- The cycle each record is of: the last one that began before it.
select w.number, c.from_seq, c.spent_points, r.offline_points_max
from unnest($1::int[], $2::bigint[], $3::bytea[], $4::bigint[]) as w (number, till_id, incarnation, seq)
join stream_cycle c on c.till_id = w.till_id and c.incarnation = w.incarnation and c.from_seq = (
    select max(m.from_seq) from stream_cycle m
    where m.till_id = w.till_id and m.incarnation = w.incarnation and m.from_seq < w.seq)
join till_rights r on r.till_id = c.till_id
order by c.till_id, c.incarnation, c.from_seq for update of c;

-- name: spend_in_cycles
update stream_cycle c set spent_points = c.spent_points + s.spent
from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[]) as s (till_id, incarnation, from_seq, spent)
where c.till_id = s.till_id and c.incarnation = s.incarnation and c.from_seq = s.from_seq;

-- name: lock_budgets
select till_id, incarnation, coalesce(risk_from_seq, 0) as from_seq,
    risk_points_total - risk_points_settled - risk_points_kept - risk_points_home as open,
    risk_points_kept as kept, risk_points_home as home
from till_stream where till_id = any($1::bigint[]) and risk_points_total > risk_points_settled
order by till_id, incarnation_number, incarnation for update;

-- name: settle_budgets
update till_stream t set risk_points_settled = t.risk_points_settled + s.settled,
    risk_points_kept = t.risk_points_kept - s.freed, risk_points_home = t.risk_points_home - s.found
from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[])
    as s (till_id, incarnation, settled, freed, found)
where t.till_id = s.till_id and t.incarnation = s.incarnation;

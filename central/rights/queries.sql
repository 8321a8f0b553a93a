-- Grants and authorisations hold points: available -> held on issue, held -> redeemed or available on return.

-- name: insert_grant
insert into right_grant (account_id, grant_id, purpose, till_id, incarnation, session, sale_key, points, outstanding,
    received, not_after_ms, body, issued_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12);

-- name: insert_grant_lot
insert into right_grant_lot (account_id, grant_id, lot_id, points) values ($1, $2, $3, $4);

-- name: find_grant
select account_id, grant_id, purpose, till_id, incarnation, sale_key, outstanding, state from right_grant
where grant_id = $1;

-- name: grant_lots
select lot_id, points from right_grant_lot where account_id = $1 and grant_id = $2 and points > 0 order by lot_id;

-- name: take_from_grant
update right_grant set outstanding = outstanding - $3,
    state = case when outstanding = $3 then 'closed' else 'open' end
where account_id = $1 and grant_id = $2;

-- name: take_from_grant_lot
update right_grant_lot set points = points - $4 where account_id = $1 and grant_id = $2 and lot_id = $3;

-- name: mark_received
update right_grant set received = true where grant_id = $1 and till_id = $2 and incarnation = $3;

-- name: open_of_sale
select account_id, grant_id, purpose, till_id, incarnation, outstanding, state from right_grant
where sale_key = $1 and state = 'open' order by grant_id;

-- name: bodies_of_sale
select body, outstanding from right_grant
where sale_key = $1 and till_id = $2 and incarnation = $3 and account_id = $4 and state = 'open' order by grant_id;

-- name: held_by_others
select coalesce(sum(outstanding), 0)::bigint from right_grant
where account_id = $1 and purpose = 'grant' and state = 'open' and not (till_id = $2 and incarnation = $3);

-- name: recall
update right_grant set recalled = true
where account_id = $1 and purpose = 'grant' and state = 'open' and not (till_id = $2 and incarnation = $3);

-- name: recalled_of_till
select grant_id from right_grant
where till_id = $1 and incarnation = $2 and state = 'open' and recalled and received order by grant_id limit 500;

-- name: undelivered
select body from right_grant
where till_id = $1 and incarnation = $2 and session = $3 and state = 'open' and not received and purpose = 'grant'
order by issued_at_ms, grant_id limit $4;

-- name: never_received
-- Grants of earlier sessions the till has not recorded: it can never accept them any more (rule R2).
select account_id, grant_id, purpose, till_id, incarnation, outstanding, state from right_grant
where till_id = $1 and incarnation = $2 and session <> $3 and state = 'open' and not received and purpose = 'grant';

-- name: stream_applied
-- Whether this is the live session, and what the stream held at its HELLO has been applied.
select exists(
    select 1 from till join till_stream s using (till_id)
    where till_id = $1 and session = $3 and s.incarnation = $2 and s.last_seq >= session_seq
) and not exists(
    select 1 from inbox
    where till_id = $1 and incarnation = $2 and not branch and not applied and parked_for is null
);

-- name: open_of_account_at
select coalesce(sum(outstanding), 0)::bigint from right_grant
where account_id = $1 and till_id = $2 and incarnation = $3 and purpose = 'grant' and state = 'open';

-- name: vaults
select till_id from till where store_id = $1 and is_vault and not revoked order by till_id;

-- name: wish
insert into grant_wish (till_id, account_id) values ($1, $2) on conflict do nothing;

-- name: wishes
select account_id from grant_wish where till_id = $1 order by account_id limit $2;

-- name: drop_wish
delete from grant_wish where till_id = $1 and account_id = $2;

-- name: lock_budget
select risk_points_total, risk_points_settled from till_stream where till_id = $1 and incarnation = $2 for update;

-- name: give_budget
update till_stream set risk_points_total = risk_points_total + $3 where till_id = $1 and incarnation = $2;

-- name: settle_budget
update till_stream set risk_points_settled = risk_points_settled + $3 where till_id = $1 and incarnation = $2;

-- name: reserve_from_pool
-- Takes what the pool has, at most what is asked; returns it.
with pool as (select free from risk_pool where id = 1 for update)
update risk_pool set free = risk_pool.free - least(pool.free, $1::bigint),
    budgets = budgets + least(pool.free, $1::bigint)
from pool where id = 1 returning least(pool.free, $1::bigint);

-- name: free_budget
update risk_pool set free = free + $1, budgets = budgets - $1 where id = 1;

-- name: fund_pool
update risk_pool set funded = funded + $1, free = free + $1 where id = 1 returning funded, free, budgets, losses;

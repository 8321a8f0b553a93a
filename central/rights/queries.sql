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
-- Grants of earlier sessions the till has not recorded: it can never accept them any more (rule R2). One statement,
-- so one snapshot: this is the live session, and all its stream held at HELLO is here and applied.
select g.account_id, g.grant_id from right_grant g
where g.till_id = $1 and g.incarnation = $2 and g.session <> $3 and g.state = 'open' and not g.received
  and g.purpose = 'grant'
  and exists (
      select 1 from till t join till_stream s using (till_id)
      where t.till_id = $1 and t.session = $3 and s.incarnation = $2 and s.last_seq >= t.session_seq)
  and not exists (
      select 1 from inbox i
      where i.till_id = $1 and i.incarnation = $2 and not i.branch and not i.applied and i.parked_for is null)
order by g.account_id, g.grant_id;

-- name: still_unreceived
select exists(
    select 1 from right_grant where account_id = $1 and grant_id = $2 and state = 'open' and not received);

-- name: hold_session
-- Keeps a HELLO from ending the session until this transaction is over.
select true from till where till_id = $1 and session = $2 and not revoked for share;

-- name: lock_sale_key
-- Orders whatever settles a receipt and whatever is authorised for it.
select pg_advisory_xact_lock(hashtextextended($1, 0));

-- name: lock_open_budgets
select incarnation, risk_points_total, risk_points_settled from till_stream
where till_id = $1 and risk_points_total > risk_points_settled order by incarnation_number for update;

-- name: open_of_account_at
select coalesce(sum(outstanding), 0)::bigint from right_grant
where account_id = $1 and till_id = $2 and incarnation = $3 and purpose = 'grant' and state = 'open';

-- name: vaults
select till_id from till where store_id = $1 and is_vault and not revoked order by till_id;

-- name: wish
insert into grant_wish (till_id, account_id) values ($1, $2) on conflict do nothing;

-- name: wishes
select account_id from grant_wish where till_id = $1 order by account_id limit $2;

-- name: move_wishes
-- A new vault takes over its share of the store's customers; an account is never wished for at two tills.
delete from grant_wish w using account a
where w.account_id = a.account_id and a.home_store = $1 and a.account_id % $2::bigint = $3 and w.till_id <> $4;

-- name: wish_for_share
insert into grant_wish (till_id, account_id)
select $4, a.account_id from account a
where a.home_store = $1 and a.account_id % $2::bigint = $3 and a.posted > a.held and not exists (
    select 1 from right_grant g where g.account_id = a.account_id and g.state = 'open' and g.purpose = 'grant')
on conflict do nothing;

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

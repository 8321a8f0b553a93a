-- Accounts and lots of many records at once, whatever their number: read under their locks, written as what changed.
-- Each names its accounts outside of the join as well: the planner then leaves out partitions that hold none of them.

-- name: lock_accounts
select account_id, posted, held, debt, home_store, merged_into from lock_accounts($1::bigint[]);

-- name: lots
select account_id, lot_id, available, held, restriction, active_from, expires_on from lot
where account_id = any($1::bigint[]) and (available > 0 or held > 0) order by account_id, lot_id;

-- name: write_entries_soon
lock table ledger_entry in row exclusive mode;

-- name: new_ids
-- The sequences are looked up once, not for each number.
select array(select nextval(s.lots) from generate_series(1, $1::int)) as lots,
       array(select nextval(s.entries) from generate_series(1, $2::int)) as entries
from (select pg_get_serial_sequence('lot', 'lot_id')::regclass as lots,
             pg_get_serial_sequence('ledger_entry', 'entry_id')::regclass as entries offset 0) s;

-- name: insert_lots
insert into lot (account_id, lot_id, name, restriction, active_from, expires_on, sale_key, offer_id, issued, available,
    held, redeemed, taken_back) overriding system value
select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]);

-- name: change_lots
update lot l set available = l.available + c.available, held = l.held + c.held, redeemed = l.redeemed + c.redeemed,
    taken_back = l.taken_back + c.taken_back
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    as c (account_id, lot_id, available, held, redeemed, taken_back)
where l.account_id = any($1) and l.account_id = c.account_id and l.lot_id = c.lot_id;

-- name: insert_entries
insert into ledger_entry (account_id, entry_id, kind, subject, arrival, at_ms) overriding system value
select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]);

-- name: insert_postings
insert into ledger_posting (account_id, entry_id, leg, ledger_account, lot_id, points)
select * from unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[], $5::bigint[], $6::bigint[]);

-- name: note_redemption_lots
insert into redemption_lot (account_id, sale_key, lot_id, points)
select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]);

-- name: change_accounts
update account a set posted = a.posted + c.posted, held = a.held + c.held, debt = a.debt + c.debt,
    version = a.version + c.version, purchases = a.purchases + c.purchases, home_store = c.home_store
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
    as c (account_id, posted, held, debt, version, purchases, home_store)
where a.account_id = any($1) and a.account_id = c.account_id;

-- name: lock_pool
select free, budgets, exposures, losses, uncovered from risk_pool where id = 1 for update;

-- name: set_pool
update risk_pool set free = $1, budgets = $2, exposures = $3, losses = $4, uncovered = $5 where id = 1;

-- Visits of many receipts at once, and where the accounts' points are wished for because of them.

-- name: visits
select account_id, store_id, weight, last_day from account_visit where account_id = any($1::bigint[]);

-- name: stores
select s.store_id, s.time_zone,
       array(select t.till_id from till t where t.store_id = s.store_id and t.is_vault and not t.revoked
             order by length(t.slot), t.slot, t.till_id) as vaults
from store s where s.store_id = any($1::text[]);

-- name: set_visits
insert into account_visit (account_id, store_id, weight, last_day)
select * from unnest($1::bigint[], $2::text[], $3::double precision[], $4::int[])
on conflict (account_id, store_id) do update set weight = excluded.weight, last_day = excluded.last_day;

-- name: keep_interests
insert into store_interest (store_id, account_id)
select * from unnest($1::text[], $2::bigint[]) on conflict (store_id, account_id) do nothing;

-- name: drop_wishes_elsewhere
delete from grant_wish w using unnest($1::bigint[], $2::bigint[]) as v (account_id, till_id)
where w.account_id = any($1) and w.account_id = v.account_id and w.till_id is distinct from v.till_id;

-- name: wish
insert into grant_wish (till_id, account_id)
select v.till_id, v.account_id from unnest($1::bigint[], $2::bigint[]) as v (account_id, till_id)
where v.till_id is not null on conflict do nothing;

-- Tiers: terms, what accounts have reached, and who has news.

-- name: terms
select document from tier_terms where programme = $1 order by terms_id desc limit 1;

-- name: terms_of_all
select distinct on (programme) programme, document from tier_terms order by programme, terms_id desc;

-- name: put_terms
insert into tier_terms (document, person, at_ms, programme, due_upto) values ($1, $2, $3, $4, 0);

-- name: new_terms
-- Those in force that not all accounts have been made due for.
select terms_id, programme, due_upto from tier_terms t where due_upto is not null
    and not exists (select from tier_terms n where n.programme = t.programme and n.terms_id > t.terms_id)
order by terms_id;

-- name: next_accounts
select account_id from account_tier where account_id > $1 order by account_id limit $2;

-- name: make_due
update account_tier t set due_on = '' from account a
where a.account_id = t.account_id and a.programme = $2 and t.account_id = any($1::bigint[]) and t.due_on <> '';

-- name: made_due
update tier_terms set due_upto = $2 where terms_id = $1;

-- name: account
select tier from account where account_id = $1;

-- name: reached
select tier, value, since_day, due_on from account_tier where account_id = $1;

-- name: qualifying
-- What receipts of a span of local days come to, less what came back of them, whenever that was.
select coalesce(sum(r.paid_minor - coalesce(b.money_minor, 0)), 0)::bigint as spend_minor,
    coalesce(sum(r.earned_points - coalesce(b.points, 0) + r.qualifying_points - coalesce(b.qualifying, 0)), 0)::bigint
        as points,
    coalesce(sum(r.qualifying_points - coalesce(b.qualifying, 0)), 0)::bigint as qualifying_points,
    count(*) filter (where r.counted) as purchases
from receipt r left join (
    select f.sale_key, sum(f.money_back_minor) as money_minor, sum(f.taken_back) as points,
           sum(f.qualifying_points) as qualifying
    from refund f join receipt o using (sale_key) where o.account_id = $1 group by f.sale_key
) b using (sale_key)
where r.account_id = $1 and left(coalesce(nullif(r.business_moment, ''), r.moment), 10) >= $2
  and left(coalesce(nullif(r.business_moment, ''), r.moment), 10) < $3;

-- name: set_tier
update account set tier = $2, version = version + 1 where account_id = $1 and tier <> $2 returning true;

-- name: put_reached
insert into account_tier (account_id, tier, value, since_day, due_on) values ($1, $2, $3, $4, $5)
on conflict (account_id) do update set tier = excluded.tier, value = excluded.value, since_day = excluded.since_day,
    due_on = excluded.due_on;

-- name: forget
delete from account_tier where account_id = $1;

-- name: begin_round
-- One process at a time, where there are terms. No row is locked and no transaction open for a whole round: that would
-- hold up the feed.
select pg_try_advisory_lock($1) where exists (select from tier_terms);

-- name: end_round
select pg_advisory_unlock($1);

-- name: cursor
select c.epoch, c.transaction, c.row, s.epoch as now_epoch, pg_snapshot_xmin(pg_current_snapshot()) as upto
from tier_cursor c, feed_state s where c.id = 1;

-- name: news
-- Accounts that stores were told of since, in the order of the feed; every receipt of an account does that.
select f.xid as transaction, f.id as row, f.account_id from feed f
where (f.xid, f.id) > ($1::xid8, $2::bigint) and f.xid < $3::xid8 and f.account_id is not null
order by f.xid, f.id limit $4;

-- name: look_again
-- News for this reader alone: no till reads that scope.
insert into feed (scope, account_id) select 'tiers', unnest($1::bigint[]);

-- name: move_cursor
update tier_cursor set epoch = $1, transaction = $2, row = $3 where id = 1;

-- name: due
-- Of programmes that have terms.
select t.account_id from account_tier t join account a using (account_id)
where t.due_on <= $1 and a.programme = any($3::text[]) order by t.due_on, t.account_id limit $2;

-- name: put_off
update account_tier set due_on = $2 where account_id = $1 and due_on <= $2;

-- name: overview
select a.programme, t.tier, count(*) as accounts, coalesce(sum(t.value), 0)::bigint as value
from account_tier t join account a using (account_id) group by a.programme, t.tier order by a.programme, t.tier;

-- What a customer sees of the own account.

-- name: balance
-- Points by what can be done with them on a day.
select a.account_id, a.tier, a.blocked, a.debt,
       coalesce(sum(l.available) filter (where l.counts), 0)::bigint as points,
       coalesce(sum(l.held), 0)::bigint as held,
       coalesce(sum(l.available) filter (where l.active_from > $2 and not l.is_over), 0)::bigint as pending,
       min(l.expires_on) filter (where l.counts and l.expires_on <> '') as ends_next
from account a left join (
    select account_id, available, held, active_from, expires_on, expires_on <> '' and expires_on <= $2 as is_over,
           active_from <= $2 and (expires_on = '' or expires_on > $2) as counts
    from lot where account_id = $1 and available + held > 0
) l using (account_id)
where a.account_id = $1 group by a.account_id;

-- name: ends_on
select coalesce(sum(available), 0)::bigint from lot
where account_id = $1 and expires_on = $2 and available > 0 and active_from <= $3;

-- name: lots
-- Those that end first first; past a lot of the page before.
select lot_id, name, restriction, active_from, expires_on, available, held, offer_id from lot
where account_id = $1 and available + held > 0 and (expires_on = '' or expires_on > $2)
  and (coalesce(nullif(expires_on, ''), '9999-99-99'), lot_id) > ($3, $4)
order by coalesce(nullif(expires_on, ''), '9999-99-99'), lot_id limit $5;

-- name: receipts
-- The newest first; before a receipt of the page before.
select r.sale_key, r.moment, r.store_id, r.gross_minor, r.discount_minor, r.redeemed_minor, r.redeemed_points,
       r.paid_minor, r.earned_points, coalesce(f.money_back_minor, 0)::bigint as money_back_minor,
       coalesce(f.points_back, 0)::bigint as points_back, coalesce(f.taken_back, 0)::bigint as taken_back
from receipt r left join (
    select sale_key, sum(money_back_minor) as money_back_minor, sum(points_back) as points_back,
           sum(taken_back) as taken_back
    from refund where sale_key in (
        select sale_key from receipt where account_id = $1 and (moment, sale_key) < ($2, $3)
        order by moment desc, sale_key desc limit $4)
    group by sale_key
) f using (sale_key)
where r.account_id = $1 and (r.moment, r.sale_key) < ($2, $3) order by r.moment desc, r.sale_key desc limit $4;

-- name: receipt
select calculation, bundle from receipt where sale_key = $2 and account_id = $1;

-- name: returned_lines
select line_id, sum(quantity)::bigint as quantity from returned_line where sale_key = $1 group by line_id;

-- name: offers_of
-- What acts for the account, and what it may switch on; of accounts that were merged into it, too.
select offer_id, true as is_active from (select unnest(personal_offers) as offer_id from account where account_id = $1) a
union
select offer_id, false from offer_to_activate o join account a using (account_id)
where (account_id = $1 or a.merged_into = $1) and activated_at_ms is null
  and offer_id <> all (select unnest(personal_offers) from account where account_id = $1)
order by offer_id;

-- name: activate
update offer_to_activate set activated_at_ms = coalesce(activated_at_ms, $3)
where offer_id = $2 and account_id in (select account_id from account where account_id = $1 or merged_into = $1)
returning account_id;

-- name: deactivate
update offer_to_activate set activated_at_ms = null
where offer_id = $2 and activated_at_ms is not null
  and account_id in (select account_id from account where account_id = $1 or merged_into = $1)
returning account_id;

-- name: may_activate
select exists (select from offer_to_activate where offer_id = $2
    and account_id in (select account_id from account where account_id = $1 or merged_into = $1));

-- name: drop_personal_offer
update account set personal_offers = array_remove(personal_offers, $2), version = version + 1 where account_id = $1;

-- name: personal_offers
select personal_offers from account where account_id = $1;

-- name: add_personal_offer
update account set personal_offers = (
        select array_agg(distinct offer order by offer) from unnest(personal_offers || $2::text) as o (offer)),
    version = version + 1
where account_id = $1;

-- name: put_offer_to_activate
insert into offer_to_activate (account_id, offer_id) select $1, unnest($2::text[]) on conflict do nothing;

-- name: drop_offers_to_activate
delete from offer_to_activate where account_id = $1 and activated_at_ms is null and offer_id <> all ($2::text[]);

-- name: activated
select offer_id from offer_to_activate where account_id = $1 and activated_at_ms is not null;

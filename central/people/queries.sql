-- name: put_account
insert into account (account_id, tier, segments, home_store, personal_offers, programme)
values ($1, coalesce($2::text, ''), coalesce($3::text[], '{}'), $4, coalesce($5::text[], '{}'), $6)
on conflict do nothing returning account_id;

-- name: change_account
-- What a line leaves out (null) stays; returns the account where anything is new.
update account a set tier = n.tier, segments = n.segments, personal_offers = n.personal_offers, version = a.version + 1
from (
    select account_id, coalesce($2::text, tier) as tier, coalesce($3::text[], segments) as segments,
           coalesce($4::text[], personal_offers) as personal_offers
    from account where account_id = $1 for update
) n
where a.account_id = n.account_id
  and (a.tier, a.segments, a.personal_offers) is distinct from (n.tier, n.segments, n.personal_offers)
returning a.account_id;

-- name: put_birthday
insert into account_birthday (account_id, month_day) values ($1, $2)
on conflict (account_id) do update set month_day = excluded.month_day;

-- name: drop_birthday
delete from account_birthday where account_id = $1;

-- name: set_window
update account set in_birthday_window = $2, version = version + 1
where account_id = $1 and in_birthday_window <> $2 returning account_id;

-- name: windows_to_open
select a.account_id from account_birthday b join account a using (account_id)
where b.month_day = any($1::text[]) and not a.in_birthday_window
order by a.account_id limit $2;

-- name: windows_to_close
select a.account_id from account a where a.in_birthday_window and not exists (
    select from account_birthday b where b.account_id = a.account_id and b.month_day = any($1::text[]))
order by a.account_id limit $2;

-- name: lock_free_accounts
select lock_free_accounts($1::bigint[]);

-- name: turn_windows
update account set in_birthday_window = $2, version = version + 1
where account_id = any($1::bigint[]) and in_birthday_window <> $2;

-- name: tell_stores_of_all
insert into feed (scope, account_id) select 'store:' || store_id, account_id from store_interest
where account_id = any($1::bigint[]);

-- name: put_card
insert into card (card, account_id, programme) values ($1, $2, $3) on conflict do nothing returning true;

-- name: is_erased
select erased from account where account_id = $1;

-- Two accounts become one, and one becomes two again. Both are locked.

-- name: lots
select lot_id, available + held as points, held from lot where account_id = $1 order by lot_id;

-- name: move_receipts
with receipts as (update receipt set account_id = $2 where account_id = $1 returning sale_key)
select coalesce(array_agg(sale_key order by sale_key), '{}') from receipts;

-- name: move_cards
with moved as (update card set account_id = $2 where account_id = $1 returning card)
select coalesce(array_agg(card order by card), '{}') from moved;

-- name: account_parts
select posted, held, debt, purchases, personal_offers, in_birthday_window from account where account_id = $1;

-- name: empty_account
update account set posted = 0, held = 0, debt = 0, purchases = 0, personal_offers = '{}', in_birthday_window = false,
    merged_into = $2, version = version + 1 where account_id = $1;

-- name: add_account
update account set posted = posted + $2, held = held + $3, debt = debt + $4, purchases = purchases + $5,
    personal_offers = (
        select coalesce(array_agg(offer order by offer), '{}') from (
            select distinct offer from unnest(personal_offers || $6::text[]) as o (offer) order by offer limit 100) u),
    version = version + 1
where account_id = $1;

-- name: follow
-- Accounts merged into the one that goes now.
with moved as (update account set merged_into = $2 where merged_into = $1 returning account_id)
select coalesce(array_agg(account_id order by account_id), '{}') from moved;

-- name: take_counters
with taken as (delete from account_counter where account_id = $1
    returning name, value, ends_on, used_at, used_store)
select name, value, ends_on, used_at, used_store from taken order by name;

-- name: add_counters
insert into account_counter (account_id, name, value, ends_on, used_at, used_store)
select $1, name, value, ends_on, used_at, used_store
from unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
    as c (name, value, ends_on, used_at, used_store)
on conflict (account_id, name) do update set
    value = least(account_counter.value + excluded.value, 4611686018427387904),
    used_at = greatest(account_counter.used_at, excluded.used_at),
    used_store = case when excluded.used_at >= account_counter.used_at
        then excluded.used_store else account_counter.used_store end;

-- name: subtract_counters
update account_counter a set value = greatest(a.value - c.value, 0)
from unnest($2::text[], $3::bigint[]) as c (name, value) where a.account_id = $1 and a.name = c.name;

-- name: take_visits
with taken as (delete from account_visit where account_id = $1 returning store_id, weight, last_day)
select store_id, weight, last_day from taken order by store_id;

-- name: add_visits
insert into account_visit (account_id, store_id, weight, last_day)
select $1, store_id, weight, last_day
from unnest($2::text[], $3::double precision[], $4::int[]) as v (store_id, weight, last_day)
on conflict (account_id, store_id) do update
    set weight = account_visit.weight + excluded.weight,
        last_day = greatest(account_visit.last_day, excluded.last_day);

-- name: copy_interests
-- Stores that keep the one account must hear of the other: it has cards they know.
insert into store_interest (store_id, account_id, named)
select store_id, $2, named from store_interest where account_id = $1
on conflict (store_id, account_id) do update set named = store_interest.named or excluded.named;

-- name: drop_interests
delete from store_interest where account_id = $1;

-- name: drop_wishes
delete from grant_wish where account_id = $1;

-- name: take_birthday
delete from account_birthday where account_id = $1 returning month_day;

-- name: put_birthday
-- Where there is none: an account keeps its own.
insert into account_birthday (account_id, month_day) values ($1, $2) on conflict do nothing returning true;

-- name: insert_merge
insert into account_merge (from_account, into_account, person, reason, merged_at_ms, moved)
values ($1, $2, $3, $4, $5, $6) returning merge_id;

-- name: merge
select merge_id, from_account, into_account, moved, undone_at_ms from account_merge where merge_id = $1 for update;

-- name: later_merge
-- The newest that has to be undone before: of the account they went to, or of that one into another.
select max(merge_id) from account_merge
where merge_id > $1 and undone_at_ms is null and (into_account = $2 or from_account = $2);

-- name: merges
select merge_id, from_account, into_account, person, reason, merged_at_ms, undone_at_ms, undone_by from account_merge
where from_account = $1 or into_account = $1 order by merge_id desc limit 100;

-- Undone

-- name: unmerge
update account set merged_into = null, version = version + 1 where account_id = $1;

-- name: unfollow
update account set merged_into = $2 where account_id = any($1::bigint[]);

-- name: stay_with
-- Of lots that came over: what rights issued since hold, and what receipts since have redeemed and not given back.
select l.lot_id, l.available, l.held, l.redeemed, l.taken_back,
    coalesce((select sum(g.points) from right_grant_lot g
        where g.account_id = $1 and g.lot_id = l.lot_id and g.grant_id <> all($3::text[])), 0)::bigint as held_since,
    coalesce((select sum(r.points - r.given_back) from redemption_lot r
        where r.account_id = $1 and r.lot_id = l.lot_id and r.sale_key <> all($4::text[])), 0)::bigint as redeemed_since
from lot l where l.account_id = $1 and l.lot_id = any($2::bigint[]) order by l.lot_id;

-- name: forget_settled
-- Rights that are settled hold nothing: neither those issued since of lots that go back, nor the others of lots that stay.
delete from right_grant_lot
where account_id = $1 and points = 0 and (lot_id = any($2::bigint[])) <> (grant_id = any($3::text[]));

-- name: receipts_back
with receipts as (
    update receipt set account_id = $2 where account_id = $1 and sale_key = any($3::text[]) returning counted
)
select count(*) filter (where counted) from receipts;

-- name: cards_back
with moved as (
    update card set account_id = $2 where account_id = $1 and card = any($3::bytea[]) returning card
)
select coalesce(array_agg(card order by card), '{}') from moved;

-- name: subtract_visits
update account_visit a set weight = greatest(a.weight - v.weight, 0)
from unnest($2::text[], $3::double precision[]) as v (store_id, weight)
where a.account_id = $1 and a.store_id = v.store_id;

-- name: drop_birthday
-- Where it is another one by now, that was told since.
delete from account_birthday where account_id = $1 and month_day = $2;

-- name: drop_offers
update account set personal_offers = (
    select coalesce(array_agg(offer order by offer), '{}') from unnest(personal_offers) as o (offer)
    where offer <> all($2::text[])), version = version + 1
where account_id = $1;

-- name: end_merge
update account_merge set undone_at_ms = $2, undone_by = $3, restored = $4 where merge_id = $1;

-- Cards

-- name: lock_card
select c.account_id from card c where c.card = $1 and c.programme = $2 for update;

-- name: move_card
update card set account_id = $2 where card = $1 and programme = $3;

-- name: end_sessions
-- Of an account that cards leave: those signed in by them, also before their account was merged into it.
update app_session set ended = true where not ended and card = any($2::bytea[]) and account_id in (
    select account_id from account where account_id = $1 or merged_into = $1);

-- name: insert_move
insert into card_move (card, from_account, to_account, person, reason, moved_at_ms, programme)
values ($1, $2, $3, $4, $5, $6, $7)
returning move_id;

-- name: move
select card, programme, from_account, to_account, undone_at_ms from card_move where move_id = $1 for update;

-- name: end_move
update card_move set undone_at_ms = $2, undone_by = $3 where move_id = $1;

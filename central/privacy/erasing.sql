-- Forgetting a customer: what is not finance goes at once, the rest follows when the last till has confirmed.

-- name: aliases
-- The account, others with one of its cards (a wallet for each programme), and what was merged into them.
with wallets as (
    select $1::bigint as account_id union select o.account_id from card c join card o using (card) where c.account_id = $1)
select account_id from account where account_id in (select account_id from wallets)
    or merged_into in (select account_id from wallets) order by account_id;

-- name: ask
insert into erasure (accounts, person, reason, asked_at_ms) values ($1, $2, $3, $4) returning erasure_id;

-- name: open_of_account
select erasure_id from erasure where $1 = any(accounts) limit 1;

-- name: not_emptied
select erasure_id from erasure where number is null order by erasure_id limit 100;

-- name: lock_erasures
-- One number after the other, in the order in which they are seen.
select pg_advisory_xact_lock(hashtextextended('tillside erasure', 0));

-- name: lock_erasure
select erasure_id, accounts, person from erasure where erasure_id = $1 and number is null for update;

-- name: grown
-- Accounts merged into those since it was asked for.
select array_agg(account_id order by account_id) from account
where account_id = any($1::bigint[]) or merged_into = any($1::bigint[]);

-- name: next_number
select greatest($1::bigint, coalesce(max(number), 0) + 1) from erasure;

-- name: take_cards
with gone as (delete from card where account_id = any($1::bigint[]) returning card, account_id)
insert into erased_card (card, account_id, number) select card, account_id, $2 from gone on conflict do nothing;

-- name: empty_accounts
update account set erased = true, blocked = true, tier = '', segments = '{}', personal_offers = '{}', home_store = '',
    in_birthday_window = false, version = version + 1
where account_id = any($1::bigint[]);

-- name: drop_birthdays
delete from account_birthday where account_id = any($1::bigint[]);

-- name: drop_tiers
delete from account_tier where account_id = any($1::bigint[]);

-- name: drop_visits
delete from account_visit where account_id = any($1::bigint[]);

-- name: drop_interests
delete from store_interest where account_id = any($1::bigint[]);

-- name: drop_counters
delete from account_counter where account_id = any($1::bigint[]);

-- name: drop_wishes
delete from grant_wish where account_id = any($1::bigint[]);

-- name: drop_sessions
delete from app_session where account_id = any($1::bigint[]);

-- name: drop_offers
delete from offer_to_activate where account_id = any($1::bigint[]);

-- name: drop_words
-- What somebody wrote about the customer; the points moved are the ledger's.
update adjustment set note = '' where account_id = any($1::bigint[]) and note <> '';

-- name: end_merges
-- What says which cards went where; nothing can be undone any more.
update account_merge set moved = '', restored = '', reason = '', undone_at_ms = coalesce(undone_at_ms, $2),
    undone_by = case when undone_at_ms is null then 'erasure' else undone_by end
where from_account = any($1::bigint[]) or into_account = any($1::bigint[]);

-- name: end_card_moves
update card_move set card = '', reason = '', undone_at_ms = coalesce(undone_at_ms, $2),
    undone_by = case when undone_at_ms is null then 'erasure' else undone_by end
where from_account = any($1::bigint[]) or to_account = any($1::bigint[]);

-- name: lots_left
select lot_id, available from lot where account_id = $1 and available > 0 order by lot_id;

-- name: emptied
update erasure set accounts = $2, number = $3, emptied_at_ms = $4 where erasure_id = $1;

-- name: forfeited
update erasure set points = points + $2 where erasure_id = $1;

-- name: to_finish
select erasure_id, accounts, number, emptied_at_ms from erasure where number is not null and done_at_ms is null
order by number limit 200;

-- name: is_everywhere
-- Each till that was there and may come in has confirmed.
select not exists (
    select from till t left join till_forgotten f using (till_id)
    where not t.revoked and t.enrolled_at_ms <= $2 and coalesce(f.through, 0) < $1);

-- name: is_empty
select not exists (select from account where account_id = any($1::bigint[]) and (posted <> 0 or held <> 0 or debt <> 0));

-- name: drop_cards
delete from erased_card where number = $1;

-- name: done
update erasure set done_at_ms = $2 where erasure_id = $1 and done_at_ms is null;

-- name: erasures
select erasure_id, accounts, person, reason, asked_at_ms, number, emptied_at_ms, points, done_at_ms from erasure
where $1 = 0 or erasure_id = $1 order by erasure_id desc limit $2;

-- name: tills_of
select count(*) filter (where not t.revoked) as tills,
       count(*) filter (where not t.revoked and coalesce(f.through, 0) >= $1) as confirmed,
       count(*) filter (where t.revoked and coalesce(f.through, 0) < $1) as revoked
from till t left join till_forgotten f using (till_id) where t.enrolled_at_ms <= $2;

-- name: tills_missing
select t.till_id, t.store_id, t.slot, t.last_seen_ms, f.till_id is not null as can_confirm
from till t left join till_forgotten f using (till_id)
where not t.revoked and t.enrolled_at_ms <= $2 and coalesce(f.through, 0) < $1 order by t.till_id limit $3;

-- name: points_left
select coalesce(sum(posted), 0)::bigint from account where account_id = any($1::bigint[]);

-- name: ahead
-- Tills that have forgotten somebody this database knows nothing of: an older copy was put back.
select coalesce(max(through), 0) from till_forgotten
where through > (select coalesce(max(number), 0) from erasure);

-- name: told
select number, accounts from erasure where number > $1 order by number limit $2;

-- name: newest
select coalesce(max(number), 0) from erasure;

-- name: till_forgot
insert into till_forgotten (till_id, through, at_ms) values ($1, $2, $3)
on conflict (till_id) do update set through = excluded.through, at_ms = excluded.at_ms
where till_forgotten.through <> excluded.through;

-- name: till_does_not_say
delete from till_forgotten where till_id = $1;

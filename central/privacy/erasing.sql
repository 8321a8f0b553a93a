-- Forgetting a customer: what is not finance goes at once, the rest follows when the last till has confirmed.

-- name: aliases
-- The account, others with one of its cards (a wallet for each programme), and what was merged into them. A card that was
-- moved leads to other people in different programmes: it is not followed.
with wallets as (
    select $1::bigint as account_id union
    select o.account_id from card c join card o using (card)
    where c.account_id = $1
        and c.card not in (select card from card_move where undone_at_ms is null or undone_by = 'erasure'))
select account_id from account where account_id in (select account_id from wallets)
    or merged_into in (select account_id from wallets) order by account_id;

-- name: ask
insert into erasure (accounts, person, reason, asked_at_ms) values ($1, $2, $3, $4) returning erasure_id;

-- name: open_of_account
select erasure_id from erasure where done_at_ms is null and number is null and $1 = any(accounts) limit 1;

-- name: not_emptied
select erasure_id from erasure where number is null order by erasure_id limit 100;

-- name: lock_erasures
-- One number after the other, in the order in which they are seen.
select pg_advisory_xact_lock(hashtextextended('tillside erasure', 0));

-- name: lock_erasure
select erasure_id, accounts, person from erasure where erasure_id = $1 and number is null for update;

-- name: forget_people
select forget_people($1::bigint[]);

-- name: grown
-- Accounts merged into those since it was asked for.
select array_agg(account_id order by account_id) from account
where account_id = any($1::bigint[]) or merged_into = any($1::bigint[]);

-- name: next_number
-- Above every earlier one, those of another life of this database included: tills that were told them keep them.
select greatest($1::bigint, coalesce(max(number), 0) + 1, (
    select coalesce(max(through), 0) + 1 from till_forgotten where through < $2::bigint)) from erasure;

-- name: is_behind
select exists (
    select from till_forgotten where through < $1 and through > (select coalesce(max(number), 0) from erasure)
) and exists (select from erasure where number is not null and done_at_ms is null);

-- name: open
select erasure_id, number from erasure where number is not null and done_at_ms is null order by number for update;

-- name: number_anew
update erasure set number = $2 where erasure_id = $1;

-- name: number_cards_anew
update erased_card set number = $2 where number = $1;

-- name: cards_of
select account_id, programme, array_agg(card) as cards from card where account_id = any($1::bigint[])
group by account_id, programme;

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
-- Somebody living whose card came from here keeps that it was moved, and not from whom: it leads to others' wallets.
update card_move set reason = '',
    card = case when to_account = any($1::bigint[]) then '' else card end,
    from_account = case when to_account = any($1::bigint[]) then from_account else to_account end, undone_at_ms = coalesce(undone_at_ms, $2),
    undone_by = case when undone_at_ms is null then 'erasure' else undone_by end
where from_account = any($1::bigint[]) or to_account = any($1::bigint[]);

-- name: lots_left
select lot_id, available from lot where account_id = $1 and available > 0 order by lot_id;

-- name: emptied
update erasure set accounts = $2, number = $3, emptied_at_ms = $4 where erasure_id = $1;

-- name: forfeited
update erasure set points = points + $2 where erasure_id = $1;

-- name: to_finish
-- By page: those that cannot end yet must not stand before others.
select erasure_id, accounts, number, emptied_at_ms, exists (
    select from account a where a.account_id = any(accounts) and (a.posted > a.held or a.debt > 0)) as has_rest
from erasure where number > $1 and done_at_ms is null order by number limit 200;

-- name: is_everywhere
-- Each till that was there and may come in has confirmed, and what it had sent by then is posted.
select not exists (
    select from till t left join till_forgotten f using (till_id)
    where not t.revoked and t.enrolled_at_ms <= $2 and coalesce(f.through, 0) < $1
) and not exists (
    select from inbox i left join till_forgotten f using (till_id)
    where not i.applied and i.parked_for is null and i.received_at_ms <= greatest(f.at_ms, $2));

-- name: come_back
select account_id from account where erased and home_store <> '' order by account_id limit 200;

-- name: leave_home
update account set home_store = '', tier = '', version = version + 1 where account_id = any($1::bigint[]);

-- name: erasure_of
select erasure_id from erasure where $1 = any(accounts) and number is not null order by erasure_id limit 1;

-- name: is_empty
select not exists (select from account where account_id = any($1::bigint[]) and (posted <> 0 or held <> 0 or debt <> 0));

-- name: drop_lifted
-- A block that went with the card; tills have heard of it by now.
delete from blocked_card b using erased_card e where e.number = $1 and b.card = e.card and not b.is_blocked;

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

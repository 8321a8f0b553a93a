-- Look-ups follow what moves from one account to another. Triggers do the same where accounts stand in one database.

-- name: drop_account_cards
delete from account_card where account_id = $1 and card = any($2::bytea[]);

-- name: put_account_cards
insert into account_card (account_id, card) select $1, card from unnest($2::bytea[]) as c (card) on conflict do nothing;

-- name: cards_of
-- An account's cards, all of one programme, and whether it is blocked.
select c.card, a.programme, a.blocked from account a join account_card c using (account_id)
where a.account_id = $1 and c.account_id = $1 and ($2::bytea[] is null or c.card = any($2)) order by c.card;

-- name: note_blocked_cards
-- For tills whose store does not keep the account (migration 0028).
select note_blocked_card(card, $2, $3) from unnest($1::bytea[]) as c (card);

-- name: keys_of_rights
-- Under which the places of an account's rights are found.
select coalesce(array_agg(key), '{}') from (
    select grant_id as key from right_grant where account_id = $1 and grant_id = any($2::text[])
    union all
    select 'sale:' || sale_key from right_grant where account_id = $1 and grant_id = any($2::text[]) and sale_key <> ''
) k;

-- name: move_places
update right_place set account_id = $1 where key = any($2::text[]) and grant_id = any($3::text[]) and account_id <> $1;

-- name: put_account
insert into account (account_id, tier, segments, home_store) values ($1, $2, $3, $4) on conflict do nothing returning account_id;

-- name: put_card
insert into card (card, account_id) values ($1, $2) on conflict do nothing;

-- name: put_interest
insert into store_interest (store_id, account_id) values ($1, $2) on conflict do nothing;

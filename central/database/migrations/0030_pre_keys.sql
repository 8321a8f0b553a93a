-- concurrently
-- Indexes of large tables.

-- A card's key with the programme, in force from 0031 on.
create unique index concurrently if not exists card_in_programme on card (card, programme);

-- For who is to be forgotten, and for what is handed out of an account.
create index concurrently if not exists adjustment_of_account on adjustment (account_id);
create index concurrently if not exists card_move_from on card_move (from_account);
create index concurrently if not exists card_move_to on card_move (to_account);
create index concurrently if not exists account_merge_from on account_merge (from_account);
create index concurrently if not exists account_merge_into_any on account_merge (into_account);

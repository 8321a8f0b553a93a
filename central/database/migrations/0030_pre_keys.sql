-- Indexes of tables that no purchase writes: meanwhile nobody loads, moves or merges cards and accounts, or adjusts points.

-- A card's key with the programme, in force from 0031 on.
create unique index card_in_programme on card (card, programme);

-- For who is to be forgotten, and for what is handed out of an account.
create index adjustment_of_account on adjustment (account_id);
create index card_move_from on card_move (from_account);
create index card_move_to on card_move (to_account);
create index account_merge_from on account_merge (from_account);
create index account_merge_into_any on account_merge (into_account);

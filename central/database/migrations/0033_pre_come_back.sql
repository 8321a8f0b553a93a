-- concurrently
-- A receipt that comes after all makes a store an erased account's home again: so what is to be emptied once more is found.

create index concurrently if not exists account_come_back on account (account_id) where erased and home_store <> '';

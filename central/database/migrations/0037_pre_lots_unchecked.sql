-- Whoever writes a lot holds its account's lock; `verify-ledger` proves that each has one (`lots`).
alter table lot drop constraint if exists lot_account_id_fkey;

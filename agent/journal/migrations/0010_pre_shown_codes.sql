-- Customers' one-time codes that were shown here, each for one receipt (docs/app-and-partner-api.md). `step` is the half minute a
-- code is of; old rows go when new ones come.
create table shown_code (
    account_id integer not null,
    step integer not null,
    receipt_id text not null,
    primary key (account_id, step)
) strict, without rowid;
create index shown_code_by_step on shown_code (step);

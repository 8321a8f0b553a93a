-- One-time codes of the app: which receipt each named the customer of, and receipts that another till had taken one for before
-- (docs/app-and-partner-api.md, "Across tills"). A code is the account's number and the half minute since 1970 it was shown in.
create table used_code (
    account_id bigint not null,
    step bigint not null,
    sale_key text not null,
    posted_at_ms bigint not null,
    primary key (account_id, step)
);
create index used_code_by_age on used_code (posted_at_ms);

create table code_twice (
    account_id bigint not null,
    step bigint not null,
    sale_key text not null,
    first_sale_key text not null,
    till_id bigint not null,
    posted_at_ms bigint not null,
    primary key (account_id, step, sale_key)
);
create index code_twice_by_age on code_twice (posted_at_ms);

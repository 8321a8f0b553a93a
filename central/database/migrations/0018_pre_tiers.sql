-- Tiers by what receipts of a cycle come to (design: market 3.2; centre 5).

-- The newest terms are in force: a JSON document (central.people.tiers.TierTerms).
create table tier_terms (
    terms_id bigint generated always as identity primary key,
    document bytea not null,
    person text not null,
    at_ms bigint not null
);

-- What an account has reached. `due_on`: the first day on which time alone may change it.
create table account_tier (
    account_id bigint primary key references account,
    tier text not null,
    value bigint not null,
    since_day text not null,
    due_on text not null
);
create index account_tier_due on account_tier (due_on);

-- How far the feed was read for accounts with news.
create table tier_cursor (
    id integer primary key check (id = 1),
    epoch bigint not null default 0,
    transaction xid8 not null default '0',
    row bigint not null default 0
);
insert into tier_cursor (id) values (1);

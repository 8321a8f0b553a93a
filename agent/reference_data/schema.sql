-- Disposable: everything here can be told again by the centre.
-- `applied`: which records of this till the account holds, as told beside it.
create table if not exists account (
    card blob primary key,
    account_id integer not null,
    version integer not null,
    body blob not null,
    applied blob not null default x'90'
) strict;
create index if not exists account_by_id on account (account_id);
create table if not exists bundle (
    hash text primary key,
    version integer not null,
    manifest blob not null,
    content blob not null,
    state text not null check (state in ('good', 'refused')),
    generation integer not null default 0
) strict;
-- Of a bundle that is being fetched; packed bytes.
create table if not exists piece (
    bundle text not null,
    number integer not null,
    content blob not null,
    primary key (bundle, number)
) strict, without rowid;
-- Beginnings of blocked cards' hashes, of accounts that are not here too; the oldest places are forgotten first.
create table if not exists blocked (place integer primary key, card blob not null unique) strict;
create table if not exists value (name text primary key, body blob not null) strict;

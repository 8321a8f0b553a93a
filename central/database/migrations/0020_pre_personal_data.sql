-- People's data stand in a schema of their own; everything else knows an account's number (design: centre 8).

create schema personal;

-- Sealed with a key of its own, which is sealed with the chain's personal key (central.privacy.personal_keys): with the row
-- all of it is gone.
create table personal.customer (
    account_id bigint primary key,
    key_name text not null,
    wrapped_key bytea not null,
    sealed bytea not null,
    changed_at_ms bigint not null
);

-- Keyed hashes of telephone numbers and mail addresses, to find somebody by.
create table personal.contact (
    account_id bigint not null references personal.customer on delete cascade,
    hash bytea not null,
    primary key (account_id, hash)
);
create index contact_by_hash on personal.contact (hash);

-- What a customer has agreed to, and has taken back; the newest word of a purpose counts.
create table personal.consent (
    account_id bigint not null,
    consent_id bigint generated always as identity,
    purpose text not null,
    given boolean not null,
    source text not null default '',
    person text not null,
    at_ms bigint not null,
    primary key (account_id, consent_id)
);

-- Which keys people's data are written with, never the keys: a process with others is told so when it starts.
create table personal.key_in_use (name text primary key, value bytea not null);

-- Who empties accounts reads nobody's data and deletes what was written since it was asked for, or of accounts merged since.
create function forget_people(accounts bigint[]) returns void language sql security definer set search_path from current
as $$
    delete from personal.customer where account_id = any(accounts);
    delete from personal.consent where account_id = any(accounts);
$$;
revoke all on function forget_people(bigint[]) from public;

-- A customer who is to be forgotten: asked, then the accounts are emptied of everything that is not finance, then each till
-- confirms that it has forgotten them. `number` is the order tills are told in; it is above every earlier one whatever copy
-- of the database was put back, because it is at least the time.
create table erasure (
    erasure_id bigint generated always as identity primary key,
    accounts bigint[] not null check (cardinality(accounts) > 0),
    person text not null,
    reason text not null,
    asked_at_ms bigint not null,
    number bigint unique,
    emptied_at_ms bigint,
    points bigint not null default 0 check (points >= 0),
    done_at_ms bigint,
    check ((number is null) = (emptied_at_ms is null)),
    check (done_at_ms is null or number is not null)
);
create index erasure_open on erasure (erasure_id) where done_at_ms is null;

-- Receipts that tills made before they forgot still find their account by the card; gone when the last till has confirmed.
create table erased_card (
    card bytea not null,
    account_id bigint not null references account,
    number bigint not null,
    primary key (card, account_id)
);
create index erased_card_by_number on erased_card (number);

-- How far each till has forgotten; no row while its software does not say.
create table till_forgotten (
    till_id bigint primary key references till,
    through bigint not null,
    at_ms bigint not null
);

alter table account
    add column erased boolean not null default false,
    add constraint account_erased_is_blocked check (blocked or not erased) not valid; -- 0032 looks at those there are

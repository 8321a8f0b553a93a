-- Programs that call from outside: the service behind the customers' app, partners; who is signed in there (design: centre 1, 2).

create table api_client (
    client_id text primary key check (client_id ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    kind text not null check (kind in ('app', 'partner')),
    title text not null default '',
    programme text not null default '',
    scopes text[] not null,
    disabled boolean not null default false,
    made_at_ms bigint not null
);

-- Hashes alone. Two at most count at a time: the one before lives on until `ends_at_ms`, so that nobody is cut off by a rotation.
create table api_secret (
    client_id text not null references api_client,
    secret_hash bytea not null,
    made_at_ms bigint not null,
    ends_at_ms bigint,
    primary key (client_id, secret_hash)
);

-- A customer who is signed in. `refresh_hash` is of the token handed out last, `previous_hash` of the one before it.
create table app_session (
    account_id bigint not null references account,
    session_id text not null,
    client_id text not null references api_client,
    card bytea not null,
    scopes text[] not null,
    refresh_hash bytea not null,
    previous_hash bytea not null default '\x',
    refreshed_at_ms bigint not null,
    made_at_ms bigint not null,
    ends_at_ms bigint not null,
    ended boolean not null default false,
    primary key (account_id, session_id)
);
create index app_session_over on app_session (ends_at_ms);

-- Offers a customer may switch on: until then they act nowhere, from then on they are among the personal offers.
create table offer_to_activate (
    account_id bigint not null references account,
    offer_id text not null,
    activated_at_ms bigint,
    primary key (account_id, offer_id)
);

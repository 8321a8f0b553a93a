-- What other systems are told: written with what happened, published after it is committed (docs/growth.md, "Events").

-- Of one account, events are numbered in the order they happened: whoever writes one holds the account's lock until commit.
create table outbox (
    event_id bigint generated always as identity primary key,
    id uuid not null default gen_random_uuid(),
    key text not null,
    type text not null,
    data text not null,
    at_ms bigint not null
);

-- Keys whose next event the broker refused: it is tried again later, and what comes behind it waits.
create table outbox_waiting (
    key text primary key,
    attempts integer not null check (attempts > 0),
    until_ms bigint not null,
    why text not null
);

-- What was refused too often; the events behind it went on.
create table outbox_dead (
    event_id bigint primary key,
    id uuid not null,
    key text not null,
    type text not null,
    data text not null,
    at_ms bigint not null,
    why text not null,
    dead_at_ms bigint not null
);

-- Nothing is written while nobody is to be told.
create table outbox_state (id integer primary key check (id = 1), wanted boolean not null);
insert into outbox_state (id, wanted) values (1, false);

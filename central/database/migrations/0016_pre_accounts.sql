-- Accounts that become one, cards that move, and points a person gives or takes (design: centre 2; sync 4.8).

-- An account that was merged is empty for good; whoever still speaks of it means the other one.
alter table account
    add column merged_into bigint references account,
    add constraint account_merged_is_empty check (
        merged_into is null or posted = 0 and held = 0 and debt = 0 and merged_into <> account_id);
create index account_merged on account (merged_into) where merged_into is not null;

-- Rights and lots go over to the other account in one transaction, in which nothing points to nothing at its end alone.
alter table right_grant_lot
    drop constraint right_grant_lot_account_id_grant_id_fkey,
    drop constraint right_grant_lot_account_id_lot_id_fkey,
    add constraint right_grant_lot_of_grant foreign key (account_id, grant_id) references right_grant deferrable,
    add constraint right_grant_lot_of_lot foreign key (account_id, lot_id) references lot deferrable;
alter table right_transfer
    drop constraint right_transfer_account_id_grant_id_fkey,
    add constraint right_transfer_of_grant foreign key (account_id, grant_id) references right_grant deferrable;

-- `moved` says what went over, to be undone: a JSON document (central.ledger.merging.Moved).
create table account_merge (
    merge_id bigint generated always as identity primary key,
    from_account bigint not null references account,
    into_account bigint not null references account,
    person text not null,
    reason text not null,
    merged_at_ms bigint not null,
    moved bytea not null,
    undone_at_ms bigint,
    undone_by text not null default '',
    restored bytea not null default ''
);
create index account_merge_into on account_merge (into_account) where undone_at_ms is null;

create table card_move (
    move_id bigint generated always as identity primary key,
    card bytea not null,
    from_account bigint not null references account,
    to_account bigint not null references account,
    person text not null,
    reason text not null,
    moved_at_ms bigint not null,
    undone_at_ms bigint,
    undone_by text not null default ''
);
create index card_move_of_card on card_move (card);

-- Points given or taken by a person: why, and how many that person may move a day.
create table adjustment_reason (
    code text primary key,
    title text not null,
    points_max bigint not null check (points_max > 0),
    days bigint not null default 0 check (days >= 0)
);
create table adjustment_limit (
    role text primary key,
    points_per_day bigint not null check (points_per_day >= 0)
);
create table adjustment (
    adjustment_key text primary key,
    account_id bigint not null references account,
    points bigint not null check (points <> 0),
    code text not null references adjustment_reason,
    note text not null default '',
    person text not null,
    day text not null,
    at_ms bigint not null
);
create index adjustment_of_person on adjustment (person, day);

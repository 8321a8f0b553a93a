-- What tills of one store do for each other: points that went from one to another, and who belongs to the store.

-- Points of a grant that its till gave to another till of the store. They stay a part of the grant, which holds them at
-- the centre; this says who may bring them home. Known by the giver's record, the receiver's, or both, in any order;
-- `points` is 0 while only a receipt has named the transfer.
create table right_transfer (
    account_id bigint not null references account,
    transfer_id text not null,
    grant_id text not null,
    to_till bigint not null references till,
    to_incarnation bytea not null default '\x',
    points bigint not null default 0 check (points >= 0),
    spent bigint not null default 0 check (spent >= 0),
    came_home bigint not null default 0 check (came_home >= 0),
    lots bytea not null default '[]',
    out_known boolean not null default false,
    in_known boolean not null default false,
    stranded boolean not null default false,
    session_at_out bytea not null default '\x',
    primary key (account_id, transfer_id),
    foreign key (account_id, grant_id) references right_grant,
    check (points > 0 or not (out_known or in_known)),
    check (came_home <= points)
);
create unique index right_transfer_by_id on right_transfer (transfer_id);
create index right_transfer_by_grant on right_transfer (account_id, grant_id);
create index right_transfer_open on right_transfer (to_till, to_incarnation) where points > spent + came_home;

-- Where each till listens to the others of its store, as it last said.
alter table till add column bus_address text not null default '';
create index till_by_store on till (store_id);

-- Secrets of the stores' buses; the newest two are given out. One more with every till that is revoked.
create table store_bus_key (
    store_id text not null references store,
    number integer not null,
    secret bytea not null,
    primary key (store_id, number)
);

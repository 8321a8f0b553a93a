-- What is limited over all customers, and the rights tills have to it (design: sync 1.2 and 4.8).

-- `given` was set aside for tills and neither came home nor was taken back by a return: what tills hold of it and what
-- they have used. A sale moves it from one to the other, so that receipts do not wait for each other here. `overdrawn`
-- stands on receipts with no right behind it.
create table shared_counter (
    name text primary key,
    most bigint not null check (most >= 0),
    given bigint not null default 0,
    taken_back bigint not null default 0 check (taken_back >= 0),
    overdrawn bigint not null default 0 check (overdrawn >= 0),
    ends_on text not null default '',
    last_used text not null default '',
    constraint shared_counter_bounded check (given between 0 and most)
);

create table counter_grant (
    grant_id text primary key,
    counter text not null references shared_counter,
    till_id bigint not null references till,
    incarnation bytea not null,
    session bytea not null,
    amount bigint not null check (amount > 0),
    outstanding bigint not null check (outstanding >= 0),
    used bigint not null default 0 check (used >= 0),
    returned bigint not null default 0 check (returned >= 0),
    released bigint not null default 0 check (released >= 0),
    received boolean not null default false,
    recalled boolean not null default false,
    body bytea not null,
    issued_at_ms bigint not null,
    constraint counter_grant_adds_up check (amount = outstanding + used + returned + released)
);
create index counter_grant_of_till on counter_grant (till_id, incarnation) where outstanding > 0;
create index counter_grant_held on counter_grant (counter) where outstanding > 0;
create index counter_grant_by_counter on counter_grant (counter);

-- `excess` is what may have been given beyond the limit: nothing while every till keeps to its rights.
create view shared_counter_state as
select c.name, c.most, coalesce(g.handed_out, 0) as handed_out, coalesce(g.used, 0) - c.taken_back as used, c.overdrawn,
    greatest(c.given + c.overdrawn - c.most, 0) as excess, c.ends_on
from shared_counter c left join (
    select counter, sum(outstanding)::bigint as handed_out, sum(used)::bigint as used from counter_grant group by counter
) g on g.counter = c.name;

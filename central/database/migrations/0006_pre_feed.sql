-- How far back the change feed goes, and of which life of the cluster its transaction numbers are (design: sync 1.7).
-- `cluster` is identifier and timeline; with another one the numbers begin anew, and so does the epoch.
create table feed_state (
    id integer primary key check (id = 1),
    epoch bigint not null check (epoch > 0),
    cluster text not null default '',
    floor xid8 not null default '0'
);
insert into feed_state (id, epoch) values (1, 1);

-- Which transactions were over at a moment: what is before the oldest mark that counts is swept away.
create table feed_mark (at_ms bigint primary key, xid xid8 not null);

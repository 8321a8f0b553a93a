-- Asks for points that customers' telephones may carry to the centre (design: sync 4.9). A row is an ask for which one
-- grant may still be taken; taking it deletes the row in the same transaction. `made` counts all asks there ever were.
create table courier_ask (
    number integer primary key check (number > 0),
    nonce blob not null unique,
    incarnation blob not null,
    receipt_id text not null,
    card blob not null,
    points integer not null check (points > 0)
) strict;
create index courier_ask_by_receipt on courier_ask (receipt_id);
create table courier_count (id integer primary key check (id = 1), made integer not null check (made >= 0)) strict;
insert into courier_count values (1, 0);

-- Time as the centre told it last, and the monotonic clock at that moment, which counts within one boot of the machine
-- (design: sync 4.3). Records after (incarnation, seq) were written later than that.
create table told_time (
    id integer primary key check (id = 1),
    told_ms integer not null,
    monotonic_ms integer not null,
    boot_id text not null,
    off_by_ms integer not null,
    incarnation blob not null,
    seq integer not null
) strict;

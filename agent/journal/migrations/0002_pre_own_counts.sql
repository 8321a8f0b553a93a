-- What this till's sales add to counters of accounts, and its returns take from them; counter '' is the purchase itself.
-- While an account as told by the centre does not hold the record (incarnation, seq), the till adds the row by itself.
create table own_count (
    subject text not null,
    counter text not null,
    plus integer not null,
    account_id integer not null,
    card blob not null,
    used_at text not null,
    incarnation blob not null,
    seq integer not null,
    primary key (subject, counter)
) strict, without rowid;
create index own_count_by_account on own_count (account_id, incarnation, seq);
create index own_count_by_card on own_count (card, incarnation, seq);

-- Rights to shared counters: what the centre has set aside for this incarnation of what is limited over all customers
-- (design: sync 1.2, 4.8). `amount_left` is what no receipt has taken.
create table counter_right (
    grant_id text primary key,
    counter text not null,
    amount integer not null check (amount > 0),
    amount_left integer not null check (amount_left between 0 and amount),
    ends_on text not null,
    incarnation blob not null
) strict;
create index counter_right_by_counter on counter_right (counter);

-- What receipts that are open have taken of them.
create table counter_reservation (
    receipt_id text not null,
    grant_id text not null,
    amount integer not null check (amount > 0),
    at_ms integer not null,
    primary key (receipt_id, grant_id)
) strict, without rowid;

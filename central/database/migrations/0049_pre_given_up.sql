-- Records that waited for a card, a receipt or a transfer that never came, and that somebody has given up: nothing of them is
-- posted, whatever comes later (design: sync 4.5; central/streams/parked_queue.py). Processing ends them, as any record.
-- `key` is that of the sale or the return; of points on their way home, their transfer's.
create table given_up (
    arrival bigint primary key,
    kind text not null check (kind in ('sale', 'refund', 'points')),
    key text not null,
    person text not null,
    reason text not null check (reason <> ''),
    at_ms bigint not null
);
create index given_up_by_key on given_up (key);
create trigger given_up_append_only before update or delete or truncate on given_up
    for each statement execute function refuse_change();

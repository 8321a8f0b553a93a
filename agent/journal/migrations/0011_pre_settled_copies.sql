-- What became of each copy, apart from the copies themselves: those are large, and would be read and
-- written with every look. 0 = it is needed; else when it was settled. A settled copy is kept for as
-- long as own records: a centre thrown back to an older state needs it again, and its till may have
-- no disk any more.

create table copy_state (
    till_id integer not null,
    incarnation blob not null,
    to_seq integer not null,
    head blob not null,
    size_bytes integer not null,
    settled_at_ms integer not null default 0,
    primary key (till_id, incarnation, to_seq, head)
) strict, without rowid;
create index needed_copy on copy_state (till_id, incarnation, to_seq) where settled_at_ms = 0;

insert into copy_state (till_id, incarnation, to_seq, head, size_bytes)
select till_id, incarnation, to_seq, head, size_bytes from witness_copy;

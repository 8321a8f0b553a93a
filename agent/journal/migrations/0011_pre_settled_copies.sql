-- Copies that nobody needs now. They are kept for as long as own records: a centre thrown back to an
-- older state needs them again, and their till may have no disk any more. Apart from the copies, as
-- those are large and would be written anew with every change of a column.

create table settled_copy (
    till_id integer not null,
    incarnation blob not null,
    to_seq integer not null,
    head blob not null,
    settled_at_ms integer not null,
    primary key (till_id, incarnation, to_seq, head)
) strict, without rowid;

create view needed_copy as
select * from witness_copy c where not exists (
    select 1 from settled_copy s
    where s.till_id = c.till_id and s.incarnation = c.incarnation and s.to_seq = c.to_seq and s.head = c.head
);

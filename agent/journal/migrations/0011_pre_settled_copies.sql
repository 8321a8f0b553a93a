-- A copy that nobody needs now is kept for as long as an own record: a centre thrown back to an
-- older state needs it again, and its till may have no disk any more. 0 = it is needed.

alter table witness_copy add column settled_at_ms integer not null default 0;

-- A plain sale as it was completed, in one row and so on one page: what the register waits for. It is entered into the
-- tables it belongs to, in one transaction that empties this one, before anything else reads or writes the journal.
create table noted_sale (
    id integer primary key check (id = 1),
    receipt_id text not null,
    body blob not null
) strict;

-- For what every finished receipt forgets: neither reads the rights that stay.
create index held_right_by_sale on held_right (sale_key) where purpose = 'authorisation';
create index held_right_empty on held_right (grant_id) where points_left = 0;

-- What tills of one store keep of and for each other (design: sync 4.10).

-- Who belongs to the store, as the centre told it last.
create table roster (id integer primary key check (id = 1), body blob not null) strict;

-- Grants as the centre signed them: whoever gets a part of one can check it.
create table grant_paper (grant_id text primary key, body blob not null) strict, without rowid;

-- Transfers given away: asked again with the same nonce, the same ones are the answer.
create table transfer_given (
    transfer_id text primary key,
    to_till integer not null,
    to_incarnation blob not null,
    nonce blob not null,
    body blob not null
) strict;
create index transfer_given_by_nonce on transfer_given (to_till, to_incarnation, nonce);

-- Transfers accepted; the right stands in held_right under the transfer's id, spent it counts on the grant.
create table transfer_taken (
    transfer_id text primary key,
    grant_id text not null,
    incarnation blob not null
) strict;

-- Copies of siblings' records: consecutive ones with the signed head they lead to. Two histories of one incarnation
-- stand side by side.
create table witness_copy (
    till_id integer not null,
    incarnation blob not null,
    to_seq integer not null,
    head blob not null,
    from_seq integer not null,
    signed blob not null,
    previous_hash blob not null,
    links blob not null,
    records blob not null,
    size_bytes integer not null,
    kept_at_ms integer not null,
    primary key (till_id, incarnation, to_seq, head)
) strict, without rowid;

-- The highest head known of each of a sibling's latest incarnations.
create table witness_head (
    till_id integer not null,
    incarnation blob not null,
    incarnation_number integer not null,
    seq integer not null,
    signed blob not null,
    primary key (till_id, incarnation)
) strict, without rowid;

-- The till's journal. Whatever must be atomic with a sale stands in this one file (design: sync 4.6).

create table stream (
    incarnation blob primary key,
    incarnation_number integer not null unique,
    last_seq integer not null,
    head blob not null,
    acked_seq integer not null,
    acked_hash blob not null,
    durable_seq integer not null,
    opened_at_ms integer not null,
    check (0 <= durable_seq and durable_seq <= acked_seq and acked_seq <= last_seq)
) strict;

-- Bytes as they are hashed and sent; `subject` is the sale, return or grant the record is about.
create table record (
    incarnation blob not null,
    seq integer not null,
    kind text not null,
    subject text not null,
    body blob not null,
    hash blob not null,
    outcome text not null default '',
    reason text not null default '',
    primary key (incarnation, seq)
) strict;
create index record_by_subject on record (subject, kind);

create table receipt (
    receipt_id text primary key,
    state text not null check (state in ('reserved', 'recorded', 'cancelled')),
    version integer not null,
    account_id integer not null,
    authorisation_asked integer not null default 0,
    request blob not null,
    answer blob not null default x'',
    calculation blob not null default x'',
    updated_at_ms integer not null
) strict;

-- Rights: points set aside by the centre for this incarnation (design: sync 4.8).
create table held_right (
    grant_id text primary key,
    purpose text not null check (purpose in ('grant', 'authorisation')),
    account_id integer not null,
    sale_key text not null,
    points integer not null check (points > 0),
    points_left integer not null check (points_left between 0 and points),
    lots blob not null,
    not_after_ms integer not null,
    incarnation blob not null
) strict;
create index held_right_by_account on held_right (account_id);

-- Rights taken for a receipt that is not finished; grant_id '' is the risk budget.
create table reservation (
    receipt_id text not null,
    grant_id text not null,
    points integer not null check (points > 0),
    lots blob not null,
    primary key (receipt_id, grant_id)
) strict;

create table risk_budget (
    id integer primary key check (id = 1),
    points_total integer not null,
    points_spent integer not null,
    check (0 <= points_spent and points_spent <= points_total)
) strict;
insert into risk_budget values (1, 0, 0);

create table return_document (
    return_id text primary key,
    original_key text not null,
    charged_back_minor integer not null,
    request blob not null,
    answer blob not null
) strict;
create index return_document_by_original on return_document (original_key);

-- Thousandths; 0 = all that was left of a line of a receipt this till does not know.
create table returned_line (
    return_id text not null references return_document,
    line_id text not null,
    quantity integer not null check (quantity >= 0),
    primary key (return_id, line_id)
) strict;

-- The centre's first schema. The constraints are the invariants (design: sync 4.15 and 5).
-- account_id stands first in every key of an account's rows, so that they can be spread over machines.

create table setting (name text primary key, value bytea not null);

create table store (
    store_id text primary key,
    region text not null default '',
    banner text not null default '',
    time_zone text not null default 'UTC'
);

-- Tills and their streams

create table till (
    till_id bigint generated always as identity primary key,
    store_id text not null references store,
    slot text not null,
    public_key bytea not null unique,
    hardware text not null,
    revoked boolean not null default false,
    is_vault boolean not null default true,
    session bytea not null default '\x00000000000000000000000000000000',
    session_verified boolean not null default false,
    session_incarnation bytea not null default '\x',
    session_seq bigint not null default 0,
    enrolled_at_ms bigint not null,
    last_seen_ms bigint not null default 0,
    bundle text not null default '',
    software text not null default '',
    receipts_waiting bigint not null default 0,
    rights_points bigint not null default 0
);

create table enrolment_code (
    code_hash bytea primary key,
    store_id text not null references store,
    slot text not null,
    is_vault boolean not null,
    expires_at_ms bigint not null,
    till_id bigint references till,
    used_at_ms bigint
);

create table till_stream (
    till_id bigint not null references till,
    incarnation bytea not null,
    incarnation_number bigint not null,
    last_seq bigint not null default 0,
    last_hash bytea not null,
    opened_at_ms bigint not null,
    risk_points_total bigint not null default 0,
    risk_points_settled bigint not null default 0,
    primary key (till_id, incarnation),
    unique (till_id, incarnation_number)
);

-- What tills sent, as bytes, for ever. `branch` rows diverged from the contiguous stream: facts in them count,
-- rights movements do not (design: sync 4.7).
create table inbox (
    arrival bigint generated always as identity primary key,
    till_id bigint not null,
    incarnation bytea not null,
    seq bigint not null,
    hash bytea not null,
    body bytea not null,
    branch boolean not null default false,
    received_at_ms bigint not null,
    applied boolean not null default false,
    parked_for text,
    unique (till_id, incarnation, hash)
);
create unique index inbox_contiguous on inbox (till_id, incarnation, seq) where not branch;
create index inbox_to_apply on inbox (arrival) where not applied and parked_for is null;
create index inbox_unapplied on inbox (till_id, incarnation, seq)
    where not applied and parked_for is null and not branch;
create index inbox_parked on inbox (parked_for) where parked_for is not null;

create table outcome (
    arrival bigint primary key references inbox,
    till_id bigint not null,
    incarnation bytea not null,
    seq bigint not null,
    outcome text not null check (outcome in ('accepted', 'accepted_stale', 'adjusted', 'parked', 'rejected_kept')),
    reason text not null default '',
    points bigint not null default 0,
    decided_at_ms bigint not null
);

-- Accounts, cards, lots

create table account (
    account_id bigint primary key,
    tier text not null default '',
    segments text[] not null default '{}',
    home_store text not null default '',
    blocked boolean not null default false,
    posted bigint not null default 0,
    held bigint not null default 0,
    debt bigint not null default 0,
    version bigint not null default 1,
    check (posted >= held),
    check (held >= 0),
    check (debt >= 0)
);

create table card (
    card bytea primary key,
    account_id bigint not null references account
);
create index card_by_account on card (account_id);

create table lot (
    account_id bigint not null references account,
    lot_id bigint generated always as identity,
    name text not null,
    restriction text not null default '',
    active_from text not null,
    expires_on text not null default '',
    sale_key text not null default '',
    offer_id text not null default '',
    issued bigint not null check (issued > 0),
    available bigint not null check (available >= 0),
    held bigint not null default 0 check (held >= 0),
    redeemed bigint not null default 0 check (redeemed >= 0),
    taken_back bigint not null default 0 check (taken_back >= 0),
    primary key (account_id, lot_id),
    check (issued = available + held + redeemed + taken_back)
);
create index lot_by_sale on lot (sale_key, offer_id) where sale_key <> '';

-- Rights

create table right_grant (
    account_id bigint not null references account,
    grant_id text not null,
    purpose text not null check (purpose in ('grant', 'authorisation')),
    till_id bigint not null references till,
    incarnation bytea not null,
    session bytea not null,
    sale_key text not null default '',
    points bigint not null check (points > 0),
    outstanding bigint not null check (outstanding between 0 and points),
    received boolean not null default false,
    recalled boolean not null default false,
    state text not null default 'open' check (state in ('open', 'closed')),
    not_after_ms bigint not null,
    body bytea not null,
    issued_at_ms bigint not null,
    primary key (account_id, grant_id),
    check (state = 'open' or outstanding = 0)
);
create unique index right_grant_by_id on right_grant (grant_id);
create index right_grant_open on right_grant (till_id, incarnation) where state = 'open';
create index right_grant_by_sale on right_grant (sale_key) where sale_key <> '';

create table right_grant_lot (
    account_id bigint not null,
    grant_id text not null,
    lot_id bigint not null,
    points bigint not null check (points >= 0),
    primary key (account_id, grant_id, lot_id),
    foreign key (account_id, grant_id) references right_grant,
    foreign key (account_id, lot_id) references lot
);

-- Accounts whose points should be set aside for a till at its next pull.
create table grant_wish (
    till_id bigint not null references till,
    account_id bigint not null references account,
    primary key (till_id, account_id)
);

create table risk_pool (
    id integer primary key check (id = 1),
    funded bigint not null,
    free bigint not null check (free >= 0),
    budgets bigint not null check (budgets >= 0),
    losses bigint not null check (losses >= 0),
    uncovered bigint not null default 0 check (uncovered >= 0),
    check (free + budgets + losses = funded)
);
insert into risk_pool (id, funded, free, budgets, losses) values (1, 0, 0, 0, 0);

-- Receipts and the ledger

create table receipt (
    sale_key text primary key,
    account_id bigint,
    arrival bigint not null references inbox,
    till_id bigint not null,
    store_id text not null,
    moment text not null,
    bundle text not null,
    gross_minor bigint not null,
    discount_minor bigint not null,
    redeemed_minor bigint not null,
    redeemed_points bigint not null,
    paid_minor bigint not null,
    earned_points bigint not null,
    link_up boolean not null,
    equal boolean not null,
    calculation bytea not null,
    recalculation bytea not null default '',
    posted_at_ms bigint not null
);
create index receipt_latest on receipt (posted_at_ms desc);
create index receipt_by_account on receipt (account_id, moment) where account_id is not null;

-- Which lots really paid for a receipt; lot 0 is the risk pool. Returns give back along it.
create table redemption_lot (
    account_id bigint not null,
    sale_key text not null,
    lot_id bigint not null,
    points bigint not null check (points > 0),
    given_back bigint not null default 0 check (given_back between 0 and points),
    primary key (account_id, sale_key, lot_id)
);

create table voided_key (sale_key text primary key, arrival bigint not null references inbox);

create table refund (
    refund_key text primary key,
    sale_key text not null references receipt,
    arrival bigint not null references inbox,
    money_back_minor bigint not null check (money_back_minor >= 0),
    charged_back_minor bigint not null,
    deducted_minor bigint not null check (deducted_minor >= 0),
    deducted_points bigint not null check (deducted_points >= 0),
    points_back bigint not null check (points_back >= 0),
    taken_back bigint not null check (taken_back >= 0)
);
create index refund_by_sale on refund (sale_key);

-- Of each line at most as much comes back as was sold: decided under the receipt's lock, proven by `verify-ledger`.
create table returned_line (
    sale_key text not null references receipt,
    line_id text not null,
    refund_key text not null references refund,
    quantity bigint not null check (quantity > 0),
    primary key (sale_key, line_id, refund_key)
);

-- Double entry, append-only: the postings of an entry add up to zero.
create table ledger_entry (
    account_id bigint not null,
    entry_id bigint generated always as identity,
    kind text not null,
    subject text not null,
    arrival bigint,
    at_ms bigint not null,
    primary key (account_id, entry_id)
);
create table ledger_posting (
    account_id bigint not null,
    entry_id bigint not null,
    leg integer not null,
    ledger_account text not null,
    lot_id bigint not null default 0,
    points bigint not null check (points <> 0),
    primary key (account_id, entry_id, leg),
    foreign key (account_id, entry_id) references ledger_entry
);
create index ledger_entry_by_subject on ledger_entry (subject);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end
$$;
create trigger ledger_entry_append_only before update or delete or truncate on ledger_entry
    for each statement execute function refuse_change();
create trigger ledger_posting_append_only before update or delete or truncate on ledger_posting
    for each statement execute function refuse_change();

-- Which store keeps which accounts, and what has changed (design: sync 1.7)

create table store_interest (
    store_id text not null references store,
    account_id bigint not null references account,
    primary key (store_id, account_id)
);
create index store_interest_by_account on store_interest (account_id);

create table feed (
    xid xid8 not null default pg_current_xact_id(),
    id bigint generated always as identity,
    scope text not null,
    account_id bigint,
    arrival bigint,
    primary key (xid, id)
);
create index feed_by_scope on feed (scope, xid, id);

-- Rules

create table bundle (
    hash text primary key,
    version bigint not null unique,
    manifest bytea not null,
    content_zstd bytea not null,
    offers bigint not null,
    published_at_ms bigint not null
);

-- Grants carried by customers' telephones, receipts that prove themselves, and business dates that clocks cannot move
-- (design: sync 4.3, 4.9 and 4.12).

-- A grant by courier names an ask instead of a session: `session` is the ask's nonce, and one ask gets one grant.
alter table right_grant add column ask_number bigint check (ask_number > 0);
create unique index right_grant_by_ask on right_grant (till_id, incarnation, session) where ask_number is not null;

-- What the till said at the HELLO of its session: all asks up to `session_asks_made` are over but the open ones.
alter table till
    add column session_asks_made bigint not null default 0,
    add column session_asks_open bytea[] not null default '{}',
    add column session_opened_ms bigint not null default 0;

-- Receipts whose codes came before their records: notes, no money. A stream must reach as far as they say.
create table receipt_hint (
    sale_key text primary key,
    till_id bigint not null references till,
    incarnation bytea not null,
    seq bigint not null check (seq > 0),
    earned_points bigint not null,
    redeemed_points bigint not null,
    paid_minor bigint not null,
    moment text not null,
    code text not null,
    heard_at_ms bigint not null
);
create index receipt_hint_by_stream on receipt_hint (till_id, incarnation, seq);

-- When the centre last had everything the till had: what comes later was written after that.
alter table till_stream add column caught_up_ms bigint not null default 0;
alter table inbox add column not_before_ms bigint not null default 0;

-- The local moment a receipt counts at where its own cannot be; empty = its own.
alter table receipt add column business_moment text not null default '';

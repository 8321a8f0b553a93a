-- Points that only qualify: what a receipt gave of them, and what returns took off again (docs/ledger.md, "Tiers").
alter table receipt
    add column qualifying_points bigint not null default 0,
    add constraint receipt_qualifying_points check (qualifying_points >= 0) not valid; -- 0032 looks at those there are
alter table refund
    add column qualifying_points bigint not null default 0,
    add constraint refund_qualifying_points check (qualifying_points >= 0) not valid;

-- Programmes: each account is a wallet in one of them; banners have one each, or share one (docs/programmes.md).
create table programme (
    programme text primary key check (programme = '' or programme ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    title text not null default '',
    made_at_ms bigint not null default 0
);
-- The one of all banners that name none: a chain with one programme has no other.
insert into programme (programme) values ('');

create table banner (
    banner text primary key,
    programme text not null references programme
);

-- A store's programme is its banner's when it is loaded. It stays as soon as tills or customers go by it.
alter table store add column programme text not null default '';

alter table account add column programme text not null default '';

alter table card_move add column programme text not null default '';

-- Whose rules a bundle is, and whose tiers terms are for.
alter table bundle add column programme text not null default '';
alter table tier_terms add column programme text not null default '';
create index tier_terms_newest on tier_terms (programme, terms_id);

-- A card leads to one account in each programme: 0030 and 0031 change its key.
alter table card add column programme text not null default '';

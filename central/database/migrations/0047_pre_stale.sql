-- Receipts with the outcome `accepted_stale`: which release was due at their till, and what they cost against it, printed less due
-- (design: sync 4.4 and 4.7). Both are null where the rules that were due could not calculate the receipt.
create table stale_receipt (
    sale_key text primary key,
    till_id bigint not null,
    release bigint not null,
    bundle text not null,
    discount_minor bigint,
    points bigint,
    posted_at_ms bigint not null,
    check ((discount_minor is null) = (points is null))
);

-- When pins were last taken away: what was sold under one is not stale by what the rings say now.
create table rule_pin_over (
    scope text not null,
    name text not null,
    over_at_ms bigint not null,
    primary key (scope, name)
);

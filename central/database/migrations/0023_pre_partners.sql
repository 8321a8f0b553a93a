-- Partners that give points of the programme, and take them back; what they owe for it (design: centre 2).

-- The most a partner may give; until a row stands here nothing.
create table partner_terms (
    client_id text primary key references api_client,
    points_per_accrual_max bigint not null check (points_per_accrual_max > 0),
    points_per_customer_day_max bigint not null check (points_per_customer_day_max > 0),
    points_per_day_max bigint not null check (points_per_day_max > 0),
    days bigint not null check (days >= 0),
    reversal_days bigint not null check (reversal_days >= 0)
);

-- What was given and taken back, by the partner's own names; never changes. `not_recovered`: points of a reversal that were spent.
-- `card_check`: sixteen bits by which a call is known to be the same again, though its card leads elsewhere by now.
create table partner_movement (
    client_id text not null references api_client,
    reference text not null,
    number bigint generated always as identity,
    kind text not null check (kind in ('accrual', 'reversal')),
    of_reference text not null default '',
    account_id bigint not null references account,
    points bigint not null check (points > 0),
    not_recovered bigint not null default 0 check (not_recovered between 0 and points),
    occurred_on text not null,
    day text not null,
    at_ms bigint not null,
    card_check integer not null default 0,
    primary key (client_id, reference),
    check (not_recovered = 0 or kind = 'reversal')
);
create unique index partner_movement_in_order on partner_movement (client_id, number);
create index partner_movement_by_day on partner_movement (client_id, day, number);
create index partner_movement_by_account on partner_movement (account_id);
create index partner_movement_of on partner_movement (client_id, of_reference) where kind = 'reversal';
create index partner_movement_of_customer on partner_movement (client_id, account_id, day) where kind = 'accrual';
create trigger partner_movement_append_only before update or delete or truncate on partner_movement
    for each statement execute function refuse_change();

-- Sums of a day; whoever gives points holds the row, so that the day's limit is not outrun.
create table partner_day (
    client_id text not null references api_client,
    day text not null,
    accrued bigint not null default 0,
    reversed bigint not null default 0,
    not_recovered bigint not null default 0,
    primary key (client_id, day)
);

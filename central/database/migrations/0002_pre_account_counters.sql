-- What offers ask about an account beside its points: offers made to it, receipts so far, counters, its birthday.

alter table account
    add column personal_offers text[] not null default '{}',
    add column purchases bigint not null default 0,
    add column in_birthday_window boolean not null default false,
    add constraint account_purchases check (purchases >= 0),
    add constraint account_personal_offers check (cardinality(personal_offers) <= 100);

-- Uses of limited offers, stamps, points redeemed a day. A name carries its period; `ends_on` is the first day after it,
-- empty = never. `used_at` and `used_store`: the receipt that counted last.
create table account_counter (
    account_id bigint not null references account,
    name text not null,
    value bigint not null check (value >= 0),
    ends_on text not null default '',
    used_at text not null,
    used_store text not null,
    primary key (account_id, name)
);

-- Whether the account's counters and purchases hold this receipt. Receipts posted before there were any are not in them.
alter table receipt add column counted boolean not null default false;

-- Day and month, `MM-DD`; tills are told the flag `in_birthday_window` alone, never the day.
create table account_birthday (
    account_id bigint primary key references account,
    month_day text not null
);
create index account_birthday_by_day on account_birthday (month_day);
create index account_in_birthday_window on account (account_id) where in_birthday_window;

-- What of each stream is not in the accounts yet: its first records that wait to be applied, 501 at most.
create view stream_waiting as
select s.till_id, s.incarnation, s.incarnation_number, s.last_seq, array(
    select i.seq from inbox i
    where i.till_id = s.till_id and i.incarnation = s.incarnation
      and not i.branch and not i.applied and i.parked_for is null
    order by i.seq limit 501) as waiting
from till_stream s;

-- An account as tills are told it, a row for each of its cards.
create view account_told as
select c.card, a.account_id, a.tier, a.segments, a.posted - a.held as points, a.held, a.blocked, a.version,
       a.personal_offers, a.purchases, a.in_birthday_window, n.counter_names, n.counter_values, n.counter_uses
from account a join card c using (account_id) cross join lateral (
    select array_agg(name order by name) as counter_names, array_agg(value order by name) as counter_values,
           array_agg(used_at || ' store ' || used_store order by name) as counter_uses
    from account_counter where account_id = a.account_id) n;

-- Points of partners' own programmes that tills handed out, and what went back with goods, for the partners' statements (design:
-- centre 2). A line is a receipt's and an offer's; `refund` is empty, or the return by which points went back.

-- Posted, in no statement yet: whoever posts receipts waits for no partner. `partner` is a name in an offer, of a partner or not.
create table partner_hand_out_new (
    receipt text not null,
    refund text not null default '',
    offer text not null,
    partner text not null,
    points bigint not null check (points > 0),
    occurred_on text not null,
    at_ms bigint not null,
    primary key (receipt, refund, offer, partner)
);
create index partner_hand_out_new_of_partner on partner_hand_out_new (partner, at_ms);

-- Lines of statements: never change. `day`, the centre's, is the one whose sums have them.
create table partner_hand_out (
    client_id text not null references api_client,
    receipt text not null,
    refund text not null default '',
    offer text not null,
    number bigint generated always as identity,
    points bigint not null check (points > 0),
    occurred_on text not null,
    day text not null,
    at_ms bigint not null,
    primary key (client_id, receipt, refund, offer)
);
create unique index partner_hand_out_in_order on partner_hand_out (client_id, number);
create index partner_hand_out_by_day on partner_hand_out (client_id, day, number);
create trigger partner_hand_out_append_only before update or delete or truncate on partner_hand_out
    for each statement execute function refuse_change();

-- Sums of a day; whoever adds lines holds the row, so that none comes in before another later.
create table partner_hand_out_day (
    client_id text not null references api_client,
    day text not null,
    handed_out bigint not null default 0,
    handed_back bigint not null default 0,
    primary key (client_id, day)
);

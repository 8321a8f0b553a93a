-- The whole life of a right: frozen, written off against the risk pool, settled late; bounds of what a till may hold
-- and risk; suspected clones; which store an account is at home in (design: sync 3.6, 4.8, 4.11 and 5).

-- 'closed' is what releases before this one wrote for 'returned' and 'settled'.
alter table right_grant
    drop constraint right_grant_state_check,
    drop constraint right_grant_check1,
    add column exposure bigint not null default 0,
    add column written_off bigint not null default 0,
    add column written_off_at_ms bigint,
    add constraint right_grant_state check (
        state in ('open', 'frozen', 'returned', 'settled', 'written_off', 'late_settled', 'closed')),
    add constraint right_grant_holds check ((outstanding > 0) = (state in ('open', 'frozen'))),
    add constraint right_grant_exposed check ((exposure > 0) = (state = 'written_off')),
    add constraint right_grant_exposure check (exposure between 0 and written_off and written_off <= points);
drop index right_grant_open;
create index right_grant_holding on right_grant (till_id, incarnation) where outstanding > 0;
create index right_grant_holding_of_account on right_grant (account_id) where outstanding > 0;
create index right_grant_due on right_grant (not_after_ms) where outstanding > 0;
create index right_grant_exposures on right_grant (till_id) where exposure > 0;

-- I13: money is in exactly one place of the pool.
alter table risk_pool
    drop constraint risk_pool_check,
    add column exposures bigint not null default 0 check (exposures >= 0),
    add constraint risk_pool_adds_up check (free + budgets + exposures + losses = funded);

-- I13: what a till has not settled of its risk budget stays within the budget.
alter table till_stream
    add column risk_points_max bigint,
    add constraint till_stream_risk_settled check (risk_points_settled between 0 and risk_points_total),
    add constraint till_stream_risk_bounded check (risk_points_total - risk_points_settled <= risk_points_max);

-- I13: what a till holds in grants stays within its cap. Authorisations are not counted: each is good for one sale key,
-- so no second disk can spend it again. `offline_points_max` is what the till was told at its last HELLO.
create table till_rights (
    till_id bigint primary key references till,
    outstanding bigint not null default 0 check (outstanding >= 0),
    outstanding_max bigint,
    offline_points_max bigint,
    constraint till_rights_bounded check (outstanding <= outstanding_max)
);
insert into till_rights (till_id, outstanding)
select till_id, coalesce((
    select sum(g.outstanding) from right_grant g where g.till_id = t.till_id and g.purpose = 'grant'), 0)
from till t;

create function keep_till_rights() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.outstanding = old.outstanding then
        return null;
    end if;
    insert into till_rights (till_id, outstanding) values (new.till_id, 0) on conflict do nothing;
    update till_rights set outstanding = outstanding + new.outstanding
        - (case when tg_op = 'UPDATE' then old.outstanding else 0 end)
    where till_id = new.till_id;
    return null;
end
$$;
create trigger right_grant_of_till after insert or update of outstanding on right_grant
    for each row when (new.purpose = 'grant') execute function keep_till_rights();

-- What each stream spent from grants and risk budget between two HELLOs; a row begins after record `from_seq`.
create table stream_cycle (
    till_id bigint not null,
    incarnation bytea not null,
    from_seq bigint not null,
    spent_points bigint not null default 0,
    primary key (till_id, incarnation, from_seq),
    foreign key (till_id, incarnation) references till_stream
);

-- Incarnations that were seen twice: a disk that came back from a copy, or two of them. Until it is cleared, rights of
-- that incarnation may be spent a second time.
create table stream_suspicion (
    till_id bigint not null,
    incarnation bytea not null,
    reason text not null,
    rights_points bigint not null check (rights_points >= 0),
    offline_points_max bigint,
    detected_at_ms bigint not null,
    cleared_at_ms bigint,
    cleared_why text not null default '',
    primary key (till_id, incarnation),
    foreign key (till_id, incarnation) references till_stream
);
create index stream_suspicion_open on stream_suspicion (detected_at_ms) where cleared_at_ms is null;

-- Exposure meter: the most that can be overdrawn this minute, by cause (design: sync 5, I13, and 9).
create view exposure as
select 'risk_budgets' as cause, coalesce(sum(risk_points_total - risk_points_settled), 0)::bigint as points
from till_stream where risk_points_total > risk_points_settled
union all
select 'write_offs', coalesce(sum(exposure), 0)::bigint from right_grant where exposure > 0
union all
select 'suspected_clones', coalesce(sum(least(rights_points, offline_points_max)), 0)::bigint
from stream_suspicion where cleared_at_ms is null;
create index till_stream_unsettled on till_stream (till_id) where risk_points_total > risk_points_settled;

-- Visits of an account to stores. A visit weighs 2^(days since 2020-01-01 / 60): added up and compared, that is the
-- same as visits that decay with a half-life of 60 days, and nothing ever has to be recalculated.
create table account_visit (
    account_id bigint not null references account,
    store_id text not null references store,
    weight double precision not null,
    last_day integer not null,
    primary key (account_id, store_id)
);
insert into account_visit (account_id, store_id, weight, last_day)
select account_id, store_id, sum(power(2::double precision, day / 60.0)), max(day) from (
    select account_id, store_id, (posted_at_ms / 86400000 - 18262)::integer as day
    from receipt where account_id is not null
) v join account using (account_id) join store using (store_id) group by account_id, store_id;

-- A store that somebody named is kept whether or not its customer is seen there.
alter table store_interest add column named boolean not null default false;
update store_interest i set named = true from account a
where a.account_id = i.account_id and a.home_store = i.store_id;

-- How far the planner has come in its round over all accounts.
create table plan_cursor (id integer primary key check (id = 1), account_id bigint not null);
insert into plan_cursor values (1, 0);

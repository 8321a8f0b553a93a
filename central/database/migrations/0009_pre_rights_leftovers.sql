-- What is left of rights when nobody comes back for them: exposures given up, grants of counters swept away
-- (design: sync 4.8, 4.11 and 5).

-- An exposure that an operator has closed counts as spent: `given_up` points are among the pool's losses. What records
-- account for after all is `found`; of that `recovered` is in the pool again.
alter table right_grant
    drop constraint right_grant_state,
    add column given_up bigint not null default 0,
    add column found bigint not null default 0,
    add column recovered bigint not null default 0,
    add constraint right_grant_state check (
        state in ('open', 'frozen', 'returned', 'settled', 'written_off', 'given_up', 'late_settled', 'closed')),
    add constraint right_grant_given_up check (
        recovered between 0 and found and found <= given_up and given_up <= written_off);
create index right_grant_given_up on right_grant (till_id, incarnation) where given_up > found;
create index right_grant_found on right_grant (account_id) where found > recovered;

-- Uses of grants that are settled and were swept away.
alter table shared_counter add column swept_used bigint not null default 0 check (swept_used >= 0);
create index counter_grant_settled on counter_grant (issued_at_ms) where outstanding = 0;

create or replace view shared_counter_state as
select c.name, c.most, coalesce(g.handed_out, 0) as handed_out,
    c.swept_used + coalesce(g.used, 0) - c.taken_back as used, c.overdrawn,
    greatest(c.given + c.overdrawn - c.most, 0) as excess, c.ends_on
from shared_counter c left join (
    select counter, sum(outstanding)::bigint as handed_out, sum(used)::bigint as used from counter_grant group by counter
) g on g.counter = c.name;

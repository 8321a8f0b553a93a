-- A machine that another one took the place of is no vault any more (central/tills/enrolment.py).
update till t set is_vault = false
where t.is_vault and exists (
    select from till n where n.store_id = t.store_id and n.slot = t.slot and n.till_id > t.till_id and not n.revoked);

-- Of a stream that was seen twice: what siblings gave it, as their records come, beside what the centre knew when it was
-- seen (`rights_points`).
create or replace view exposure as
select 'risk_budgets' as cause,
    coalesce(sum(risk_points_total - risk_points_settled - risk_points_kept - risk_points_home), 0)::bigint as points
from till_stream where risk_points_total > risk_points_settled
union all
select 'write_offs', ((select coalesce(sum(exposure), 0) from right_grant where exposure > 0)
    + (select coalesce(sum(risk_points_kept), 0) from till_stream where risk_points_kept > 0))::bigint
union all
select 'suspected_clones', coalesce(sum(least(s.rights_points + coalesce(g.points, 0), s.offline_points_max)), 0)::bigint
from stream_suspicion s left join (
    select x.to_till, x.to_incarnation, sum(greatest(x.points, x.spent)) as points
    from stream_suspicion p join right_transfer x on x.to_till = p.till_id and x.to_incarnation = p.incarnation
    where p.cleared_at_ms is null group by x.to_till, x.to_incarnation
) g on g.to_till = s.till_id and g.to_incarnation = s.incarnation
where s.cleared_at_ms is null;

-- How many accounts the planner's round has looked at, and the one before it did.
alter table plan_cursor
    add column looked_at bigint not null default 0,
    add column round_before bigint not null default 0;

-- I13: what a till has not settled of its risk budgets, over all its streams, stays within its budget. A stream that is over
-- keeps what it was given until its receipts, or a write-off, settle it (design: sync 5; central/rights/budgets.py).
-- Of what a stream was given `risk_points_kept` is written off and kept back among the pool's exposures, and
-- `risk_points_home` is free again. Records up to `risk_from_seq` were written before the stream was given anything.
alter table till_stream
    add column risk_points_kept bigint not null default 0,
    add column risk_points_home bigint not null default 0,
    add column risk_from_seq bigint,
    add column risk_written_off_at_ms bigint,
    drop constraint till_stream_risk_settled,
    add constraint till_stream_risk_settled check (
        risk_points_settled >= 0 and risk_points_kept >= 0 and risk_points_home >= 0
        and risk_points_settled + risk_points_kept + risk_points_home <= risk_points_total);
create index till_stream_kept on till_stream (till_id) where risk_points_kept > 0;

alter table till_rights
    add column risk_points bigint not null default 0 check (risk_points >= 0),
    add column risk_points_max bigint,
    add constraint till_rights_risk_bounded check (risk_points <= risk_points_max);
insert into till_rights (till_id, risk_points)
select till_id, sum(risk_points_total - risk_points_settled) from till_stream
where risk_points_total > risk_points_settled group by till_id
on conflict (till_id) do update set risk_points = excluded.risk_points;

create or replace view exposure as
select 'risk_budgets' as cause,
    coalesce(sum(risk_points_total - risk_points_settled - risk_points_kept - risk_points_home), 0)::bigint as points
from till_stream where risk_points_total > risk_points_settled
union all
select 'write_offs', ((select coalesce(sum(exposure), 0) from right_grant where exposure > 0)
    + (select coalesce(sum(risk_points_kept), 0) from till_stream where risk_points_kept > 0))::bigint
union all
select 'suspected_clones', coalesce(sum(least(rights_points, offline_points_max)), 0)::bigint
from stream_suspicion where cleared_at_ms is null;

-- name: lock
select pg_try_advisory_xact_lock(1953067639);

-- name: open
select incident_id, kind, subject, says, began_ms, seen_ms, told_ms from alert_incident where ended_ms is null
order by incident_id;

-- name: begin
insert into alert_incident (kind, subject, says, began_ms, seen_ms, told_ms) values ($1, $2, $3, $4, $5, $5)
returning incident_id;

-- name: seen
update alert_incident set says = $2, seen_ms = $3 where incident_id = $1;

-- name: told
update alert_incident set told_ms = $2 where incident_id = $1;

-- name: end
update alert_incident set ended_ms = $2 where incident_id = $1;

-- name: put_mail
insert into alert_mail (incident_id, occasion, subject, body, made_ms, next_try_ms) values ($1, $2, $3, $4, $5, $5);

-- name: claim_mails
-- Of one incident in their order; whoever takes one has it for a while, so that nobody else sends it meanwhile.
update alert_mail set attempts = attempts + 1, next_try_ms = $2 where mail_id in (
    select m.mail_id from alert_mail m
    where m.sent_ms is null and m.given_up_ms is null and m.next_try_ms <= $1 and not exists (
        select from alert_mail before where before.incident_id = m.incident_id and before.mail_id < m.mail_id
            and before.sent_ms is null and before.given_up_ms is null)
    order by m.mail_id limit $3 for update skip locked)
returning mail_id, incident_id, occasion, subject, body, made_ms, attempts;

-- name: sent
update alert_mail set sent_ms = $2, failure = '' where mail_id = $1;

-- name: failed
update alert_mail set next_try_ms = $2, failure = $3, given_up_ms = $4 where mail_id = $1;

-- name: incidents
select i.incident_id, i.kind, i.subject, i.says, i.began_ms, i.ended_ms, m.sent, m.waiting, m.given_up, m.failure
from alert_incident i cross join lateral (
    select count(*) filter (where sent_ms is not null) as sent,
           count(*) filter (where sent_ms is null and given_up_ms is null) as waiting,
           count(*) filter (where given_up_ms is not null) as given_up,
           coalesce(max(failure), '') as failure
    from alert_mail where incident_id = i.incident_id) m
order by i.ended_ms is not null, i.began_ms desc limit $1;

-- name: forget
with old as (select incident_id from alert_incident where ended_ms < $1 limit 1000),
gone as (delete from alert_mail where incident_id in (select incident_id from old) returning incident_id)
delete from alert_incident where incident_id in (select incident_id from old)
    and incident_id not in (select incident_id from gone);

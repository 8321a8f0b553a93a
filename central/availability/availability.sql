-- name: lock_state
select counted_to_ms from service_state where id = 1 for update;

-- name: state
select counted_to_ms from service_state where id = 1;

-- name: first_posted
select min(posted_at_ms) from receipt where posted_at_ms >= $1 and posted_at_ms < $2;

-- name: posted_after_many
-- When the receipt was posted that is one too many to be counted at once.
select posted_at_ms from receipt where posted_at_ms >= $1 and posted_at_ms < $2 order by posted_at_ms offset $3 limit 1;

-- name: served
-- By minute of the store's clock, and by what a release before noted nothing of.
select r.store_id, left(case when r.business_moment <> '' then r.business_moment else r.moment end, 16) as minute,
       r.service, r.bundle <> '' as has_rules, r.equal, r.link_up, count(*) as receipts
from receipt r where r.posted_at_ms >= $1 and r.posted_at_ms < $2 group by 1, 2, 3, 4, 5, 6;

-- name: stores
select store_id, region, banner, time_zone from store where store_id = any($1::text[]);

-- name: hours
select hour, store_id, minutes from service_hour
where (hour, store_id) in (select * from unnest($1::bigint[], $2::text[])) for update;

-- name: put_hours
insert into service_hour (hour, store_id, minutes) select * from unnest($1::bigint[], $2::text[], $3::bytea[])
on conflict (hour, store_id) do update set minutes = excluded.minutes;

-- name: add_minutes
insert into service_minute as m (minute, banner, region, full_service, offline_full, degraded, no_service)
select * from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
on conflict (minute, banner, region) do update set full_service = m.full_service + excluded.full_service,
    offline_full = m.offline_full + excluded.offline_full, degraded = m.degraded + excluded.degraded,
    no_service = m.no_service + excluded.no_service;

-- name: move_state
update service_state set counted_to_ms = $1 where id = 1;

-- name: forget_hours
delete from service_hour where hour < $1;

-- name: minutes
select minute, banner, region, full_service, offline_full, degraded, no_service from service_minute
where minute >= $1 and minute < $2 and ($3 = '' or banner = $3) and ($4 = '' or region = $4);

-- name: hours_of_store
select hour, minutes from service_hour where store_id = $1 and hour >= $2 and hour < $3;

-- name: store
select store_id from store where store_id = $1;

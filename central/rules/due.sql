-- name: releases
-- The newest first.
select r.version, r.bundle, r.state, r.activate_at, greatest(r.published_at_ms, r.changed_at_ms) as since_ms, b.programme, b.base_hash
from rule_release r join bundle b on b.hash = r.bundle order by r.version desc;

-- name: rings
select release, kind, names, basis_points, added_at_ms from rule_ring order by ring_id;

-- name: pins
select scope, name, release, pinned_at_ms as changed_at_ms from rule_pin
union all
select scope, name, 0, over_at_ms from rule_pin_over;

-- name: stale_by_release
select s.release, s.bundle, r.state, count(*) as receipts, count(distinct s.till_id) as tills, count(*) - count(s.points) as unknown,
       coalesce(sum(s.discount_minor), 0)::bigint as discount_minor, coalesce(sum(s.points), 0)::bigint as points,
       max(s.posted_at_ms) as last_posted_at_ms
from stale_receipt s left join rule_release r on r.version = s.release
group by s.release, s.bundle, r.state order by s.release desc limit 1000;

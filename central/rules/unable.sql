-- Tills that cannot take a release (central/rules/unable.py).

-- name: refusing_software
-- Releases of the tills' software under which tills have refused a bundle, and none has taken it.
select t.software from till t join till_rules r using (till_id) where not t.revoked and t.software <> ''
group by t.software having bool_or(r.refused = $1) and not bool_or(t.bundle = $1);

-- name: in_doubt
-- Of a programme's tills without a bundle ($1) those that refused it, run such software ($3), were not heard of since $4,
-- or have taken a manifest above the last one that names it ($5, $6).
select t.till_id, t.store_id, s.region, s.programme, t.bundle, t.software, t.last_seen_ms, coalesce(r.refused, '') as refused,
       coalesce(r.why, '') as why, coalesce(r.generation, 0) as generation, coalesce(r.version, 0) as version
from till t join store s using (store_id) left join till_rules r using (till_id)
where not t.revoked and s.programme = $2 and t.bundle <> $1
  and (r.refused = $1 or t.software = any($3::text[]) or t.last_seen_ms < $4 or (r.generation, r.version) > ($5::bigint, $6::bigint))
order by t.till_id;

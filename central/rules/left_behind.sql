-- name: tills_that_have
-- Tills by what they took last: as they said last, or were told since and have not refused.
select s.programme, s.store_id, s.region, k.bundle, coalesce(r.refused, '') as refused, k.generation, k.version,
       array_agg(t.till_id) as till_ids
from till t join store s using (store_id) left join till_rules r using (till_id)
cross join lateral (select coalesce((r.told_generation, r.told_version) > (r.generation, r.version)
                                    and r.told_bundle <> r.refused, false) as newer) x
cross join lateral (select case when x.newer then r.told_bundle else t.bundle end as bundle,
                           case when x.newer then r.told_generation else coalesce(r.generation, 0) end as generation,
                           case when x.newer then r.told_version else coalesce(r.version, 0) end as version) k
where not t.revoked and k.bundle = any($1)
group by 1, 2, 3, 4, 5, 6, 7;

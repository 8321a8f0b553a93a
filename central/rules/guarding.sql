-- name: young
-- Releases somebody gives to rings, or to a till or a store by a pin; what went out alone for a trial is nobody's to guard.
-- An open one has changed when it was published, or resumed. $2 is the local moment that had come at every store at $1.
with given as (
    select release, added_at_ms as at_ms from rule_ring union all select release, pinned_at_ms from rule_pin
)
select r.version, r.bundle, r.guards, r.activate_at, max(g.at_ms) as given_ms,
       case when r.changed_at_ms > r.published_at_ms then r.changed_at_ms else 0 end as resumed_ms
from rule_release r join given g on g.release = r.version
where r.state = 'open' and r.kind <> 'trial'
group by r.version having greatest(max(g.at_ms), r.changed_at_ms) >= $1 or r.activate_at >= $2 order by r.version;

-- name: counted_last
select max(bucket_ms) from rule_count where bucket_ms <= $1;

-- name: count_receipts
-- Of whole steps: $1 and $2 are multiples of $3.
insert into rule_count (bundle, bucket_ms, receipts, gross_minor, discount_minor, unequal, in_debt)
select t.bundle, t.posted_at_ms / $3 * $3 as bucket_ms, count(*), sum(t.gross_minor), sum(t.discount_minor),
       count(*) filter (where not t.equal), count(a.account_id)
from receipt t left join (select account_id from account where debt > 0) a using (account_id)
where t.posted_at_ms >= $1 and t.posted_at_ms < $2 group by 1, 2 order by 1, 2 -- two processes lock alike
on conflict (bundle, bucket_ms) do update set receipts = excluded.receipts, gross_minor = excluded.gross_minor,
    discount_minor = excluded.discount_minor, unequal = excluded.unequal, in_debt = excluded.in_debt;

-- name: forget_counts
delete from rule_count where bucket_ms < $1;

-- name: counts
select bundle, sum(receipts)::bigint as receipts, sum(gross_minor)::bigint as gross_minor,
       sum(discount_minor)::bigint as discount_minor, sum(unequal)::bigint as unequal, sum(in_debt)::bigint as in_debt
from rule_count where bucket_ms >= $1 group by bundle;

-- name: not_normal
-- Bundles whose receipts do not say what is normal beside a release: newer ones that are young themselves ($3) or were
-- taken away, and those of other programmes.
select bundle from rule_release where version > $1 and (state <> 'open' or version = any($3))
union
select b.hash from bundle b where b.programme <> (select o.programme from bundle o where o.hash = $2)
union
select b.base_hash from bundle b
where b.base_hash <> '' and b.programme <> (select o.programme from bundle o where o.hash = $2);

-- name: told
-- What tills said since $2. Who keeps this bundle waiting has it, too; what he counts is of the one in force there.
-- They count since they have a bundle: of who has had this one since before it was resumed ($3) nobody can tell what came
-- after that; who had refused it before only says so again, also once he was started anew (agent: RuleBooks.wants).
with said as (
    select r.bundle, r.refused = $1 as refuses, r.bundle = $1 or coalesce(m.bundle = $1, false) as has,
           r.bundle = $1 and r.bundle_since_ms < $3 as mixed, r.calculated, r.slow, r.dropped
    from till_rules r left join rule_manifest m using (generation, version)
    where r.told_at_ms >= $2
      and (r.refused <> $1 or (r.refused_since_ms >= $3 and ($3 = 0 or r.why <> 'refused before')))
)
select $1 as bundle, count(*) as tills, count(*) filter (where refuses) as refused, 0 as calculated, 0 as slow, 0 as dropped
from said where has or refuses
union all
select bundle, 0, 0, sum(calculated)::bigint, sum(slow)::bigint, sum(dropped)::bigint
from said where not refuses and not mixed group by bundle;

-- name: baseline
select count(*) as receipts, sum(gross_minor)::bigint as gross_minor, sum(discount_minor)::bigint as discount_minor,
       0 as unequal, count(debtor) as in_debt
-- Of the last $5 receipts: where a release had been everywhere for weeks before it was pinned, none are of others.
from (select t.gross_minor, t.discount_minor, a.account_id as debtor
      from (select account_id, gross_minor, discount_minor, bundle, posted_at_ms from receipt
            where posted_at_ms < $1 order by posted_at_ms desc limit $5) t
      left join (select account_id from account where debt > 0) a using (account_id)
      where t.bundle <> $3 and t.bundle <> all($4::text[]) order by t.posted_at_ms desc limit $2) before;

-- name: unposted
select o.arrival, o.decided_at_ms, i.body from outcome o join inbox i using (arrival)
where o.decided_at_ms >= $1 and o.outcome = 'rejected_kept' and o.reason like 'could not be applied%'
  and o.arrival <> all($2::bigint[])
order by o.decided_at_ms limit 1000;

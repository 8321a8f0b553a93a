-- name: young
-- Releases somebody moves from ring to ring; what went out alone for a trial is nobody's to guard.
select r.version, r.bundle, r.guards, max(g.added_at_ms) as since_ms
from rule_release r join rule_ring g on g.release = r.version
where r.state = 'open' and r.kind <> 'trial'
group by r.version having max(g.added_at_ms) >= $1 order by r.version;

-- name: count_receipts
insert into rule_count (bundle, bucket_ms, receipts, gross_minor, discount_minor, unequal, in_debt)
select t.bundle, t.posted_at_ms / $2 * $2 as bucket_ms, count(*), sum(t.gross_minor), sum(t.discount_minor),
       count(*) filter (where not t.equal), count(a.account_id)
from receipt t left join (select account_id from account where debt > 0) a using (account_id)
where t.posted_at_ms >= $1 group by 1, 2 order by 1, 2 -- two processes lock alike
on conflict (bundle, bucket_ms) do update set receipts = excluded.receipts, gross_minor = excluded.gross_minor,
    discount_minor = excluded.discount_minor, unequal = excluded.unequal, in_debt = excluded.in_debt;

-- name: forget_counts
delete from rule_count where bucket_ms < $1;

-- name: counts
select bundle, sum(receipts)::bigint as receipts, sum(gross_minor)::bigint as gross_minor,
       sum(discount_minor)::bigint as discount_minor, sum(unequal)::bigint as unequal, sum(in_debt)::bigint as in_debt
from rule_count where bucket_ms >= $1 group by bundle;

-- name: not_normal
-- Bundles whose receipts do not say what was normal before a release: newer ones, and those of other programmes.
select bundle from rule_release group by bundle having max(version) > $1
union
select b.hash from bundle b where b.programme <> (select o.programme from bundle o where o.hash = $2)
union
select b.base_hash from bundle b
where b.base_hash <> '' and b.programme <> (select o.programme from bundle o where o.hash = $2);

-- name: told
select case when refused = $1 then $1 else bundle end as bundle, count(*) as tills,
       count(*) filter (where refused = $1) as refused,
       sum(calculated) filter (where refused <> $1)::bigint as calculated,
       sum(slow) filter (where refused <> $1)::bigint as slow,
       sum(dropped) filter (where refused <> $1)::bigint as dropped
from till_rules where told_at_ms >= $2 group by 1;

-- name: baseline
select count(*) as receipts, sum(gross_minor)::bigint as gross_minor, sum(discount_minor)::bigint as discount_minor,
       0 as unequal, count(debtor) as in_debt
from (select t.gross_minor, t.discount_minor, a.account_id as debtor
      from receipt t left join (select account_id from account where debt > 0) a using (account_id)
      where t.posted_at_ms < $1 and t.bundle <> $3 and t.bundle <> all($4::text[]) order by t.posted_at_ms desc limit $2) before;

-- name: last_outcome
select coalesce(max(arrival), 0) from outcome;

-- name: unposted
select o.arrival, i.body from outcome o join inbox i using (arrival)
where o.arrival > $1 and o.outcome = 'rejected_kept' and o.reason like 'could not be applied%'
order by o.arrival limit 1000;

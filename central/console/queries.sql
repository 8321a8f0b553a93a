-- name: latest_receipts
select r.sale_key, r.till_id, r.store_id, r.moment, r.paid_minor, r.discount_minor, r.redeemed_points, r.earned_points,
       r.link_up, r.equal, r.account_id is not null as identified, r.bundle, r.calculation
from receipt r order by r.posted_at_ms desc, r.arrival desc limit $1;

-- name: figures
select (select count(*) from receipt) as receipts,
       (select count(*) from receipt where not link_up) as receipts_offline,
       (select coalesce(sum(redeemed_points), 0) from receipt where not link_up)::bigint as redeemed_offline_points,
       (select count(*) from receipt where not equal) as unequal,
       (select count(*) from refund) as refunds,
       (select count(*) from inbox where not applied and parked_for is null) as waiting,
       (select count(*) from inbox where not applied and parked_for is not null) as parked,
       (select count(*) from outcome where outcome = 'rejected_kept') as rejected,
       (select count(*) from account) as accounts;

-- name: pool
select p.funded, p.free, p.budgets, p.exposures, p.losses, p.uncovered,
       (select sum(points) from exposure)::bigint as exposure
from risk_pool p where p.id = 1;

-- name: held
select coalesce(sum(held), 0)::bigint as held, coalesce(sum(posted), 0)::bigint as posted from account;

-- name: availability
-- A receipt is served fully when it carried its rules and was equal here, with or without the link.
select count(*) filter (where bundle <> '' and equal) as full, count(*) filter (where link_up) as with_link, count(*) as receipts
from receipt;

-- What the status page asks beside the figures of monitoring (central/console/status_page.py): by indexes, so many rows
-- and no more.

-- name: latest_receipts
select r.sale_key, r.till_id, r.store_id, r.moment, r.paid_minor, r.discount_minor, r.redeemed_points, r.earned_points,
       r.link_up, r.equal, r.account_id is not null as identified, r.bundle, r.calculation
from receipt r order by r.posted_at_ms desc, r.arrival desc limit $1;

-- name: tills
-- Those that need a look: on two machines, then silent for longest; streams are asked of those shown alone.
select w.*, (select coalesce(sum(s.last_seq), 0)::bigint from till_stream s where s.till_id = w.till_id) as records from (
    select t.till_id, t.store_id, t.slot, t.revoked, t.last_seen_ms, t.bundle, t.receipts_waiting, t.rights_points,
           t.quarantined_at_ms is not null as quarantined
    from till t
    order by t.revoked, t.quarantined_at_ms is null, t.last_seen_ms = 0, t.last_seen_ms, t.till_id limit $1) w;

-- name: tills_of_store
select w.*, (select coalesce(sum(s.last_seq), 0)::bigint from till_stream s where s.till_id = w.till_id) as records from (
    select t.till_id, t.store_id, t.slot, t.revoked, t.last_seen_ms, t.bundle, t.receipts_waiting, t.rights_points,
           t.quarantined_at_ms is not null as quarantined
    from till t where t.store_id = $1 order by t.revoked, t.till_id limit $2) w;

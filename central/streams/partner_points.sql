-- Points of partners' own programmes: noted as receipts and returns are posted, then put into the partners' statements.

-- name: note
insert into partner_hand_out_new (receipt, refund, offer, partner, points, occurred_on, at_ms)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[]);

-- name: handed_out
-- What of a receipt was noted: of those posted by a release before nothing was.
select offer, partner from partner_hand_out_new where receipt = $1 and refund = ''
union select offer, client_id from partner_hand_out where receipt = $1 and refund = '';

-- name: arrival
select arrival from receipt where sale_key = $1;

-- name: body
select body from inbox where arrival = $1;

-- name: partners_waiting
select client_id from api_client c where kind = 'partner'
    and exists (select from partner_hand_out_new n where n.partner = c.client_id) order by client_id;

-- name: open_day
insert into partner_hand_out_day (client_id, day) values ($1, $2) on conflict do nothing;

-- name: lock_day
select from partner_hand_out_day where client_id = $1 and day = $2 for update;

-- name: settle
-- The next lines of a partner's statement, with their day's sums; how many they are.
with next as (
    select receipt, refund, offer from partner_hand_out_new where partner = $1
    order by at_ms, receipt, refund, offer limit $3 for update skip locked
), taken as (
    delete from partner_hand_out_new n using next t
    where n.partner = $1 and n.receipt = t.receipt and n.refund = t.refund and n.offer = t.offer returning n.*
), settled as (
    insert into partner_hand_out (client_id, receipt, refund, offer, points, occurred_on, day, at_ms)
    select partner, receipt, refund, offer, points, occurred_on, $2, at_ms from taken order by at_ms, receipt, refund, offer
    returning refund, points
), added as (
    update partner_hand_out_day d set handed_out = d.handed_out + s.handed_out, handed_back = d.handed_back + s.handed_back
    from (
        select coalesce(sum(points) filter (where refund = ''), 0) as handed_out,
               coalesce(sum(points) filter (where refund <> ''), 0) as handed_back from settled
    ) s where d.client_id = $1 and d.day = $2
)
select count(*) from settled;

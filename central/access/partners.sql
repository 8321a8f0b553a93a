-- Points given by partners, and taken back.

-- name: put_terms
insert into partner_terms (client_id, points_per_accrual_max, points_per_customer_day_max, points_per_day_max, days,
    reversal_days)
values ($1, $2, $3, $4, $5, $6)
on conflict (client_id) do update set points_per_accrual_max = excluded.points_per_accrual_max,
    points_per_customer_day_max = excluded.points_per_customer_day_max,
    points_per_day_max = excluded.points_per_day_max, days = excluded.days, reversal_days = excluded.reversal_days;

-- name: terms
select points_per_accrual_max, points_per_customer_day_max, points_per_day_max, days, reversal_days from partner_terms
where client_id = $1;

-- name: is_enabled_partner
select exists (select from api_client where client_id = $1 and kind = 'partner' and not disabled);

-- name: lock_client
-- One movement of a partner at a time, at midnight, too.
select pg_advisory_xact_lock(hashtextextended('partner:' || $1, 0));

-- name: open_day
insert into partner_day (client_id, day) values ($1, $2) on conflict do nothing;

-- name: lock_day
select accrued from partner_day where client_id = $1 and day = $2 for update;

-- name: count
update partner_day set accrued = accrued + $3, reversed = reversed + $4, not_recovered = not_recovered + $5
where client_id = $1 and day = $2;

-- name: movement
select kind, of_reference, account_id, points, not_recovered, occurred_on, day, at_ms, card_check
from partner_movement where client_id = $1 and reference = $2;

-- name: given_to_customer
select coalesce(sum(points), 0)::bigint from partner_movement
where client_id = $1 and account_id = $2 and day = $3 and kind = 'accrual';

-- name: reversed
select coalesce(sum(points), 0)::bigint as points, coalesce(sum(not_recovered), 0)::bigint as not_recovered
from partner_movement where client_id = $1 and of_reference = $2 and kind = 'reversal';

-- name: insert_movement
insert into partner_movement (client_id, reference, kind, of_reference, account_id, points, not_recovered, occurred_on,
    day, at_ms, card_check)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

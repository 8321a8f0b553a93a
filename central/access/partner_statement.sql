-- Statements of partners: what they gave of ours, and what tills handed out of theirs.

-- name: statement
-- Past a line of the page before. By day first: whoever writes holds the day until commit, so none comes in before it later.
select number, kind, reference, of_reference, points, not_recovered as not_recovered_points,
       occurred_on, day, at_ms from partner_movement
where client_id = $1 and day between $2 and $3 and (day, number) >
    (greatest($2, (select day from partner_movement where client_id = $1 and number = $4)), $4)
order by day, number limit $5;

-- name: totals
select coalesce(sum(accrued), 0)::bigint as accrued, coalesce(sum(reversed), 0)::bigint as reversed,
       coalesce(sum(not_recovered), 0)::bigint as not_recovered
from partner_day where client_id = $1 and day between $2 and $3;

-- name: hand_outs
-- In order and past a line of the page before, as in `statement`.
select number, case refund when '' then 'hand_out' else 'hand_back' end as kind, receipt, refund, offer,
       points, occurred_on, day, at_ms from partner_hand_out
where client_id = $1 and day between $2 and $3 and (day, number) >
    (greatest($2, (select day from partner_hand_out where client_id = $1 and number = $4)), $4)
order by day, number limit $5;

-- name: hand_out_totals
select coalesce(sum(handed_out), 0)::bigint as handed_out, coalesce(sum(handed_back), 0)::bigint as handed_back
from partner_hand_out_day where client_id = $1 and day between $2 and $3;

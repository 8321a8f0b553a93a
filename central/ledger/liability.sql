-- What the chain owes in points, at the end of a day.

-- name: liability
-- Folded from the postings written until then; terms are those of the lots. A lot counts while its end is after the day.
select l.name as kind, l.restriction, left(l.expires_on, 7) as ends_in, l.expires_on <> '' and l.expires_on <= $2 as over,
    sum(b.points)::bigint as points, count(*) as lots
from (
    select p.lot_id, sum(p.points) as points from ledger_posting p join ledger_entry e using (account_id, entry_id)
    where p.ledger_account = 'member' and e.at_ms < $1 group by p.lot_id having sum(p.points) <> 0
) b join (
    select distinct on (l.lot_id) l.lot_id, l.name, l.restriction, l.expires_on
    from lot l join account a using (account_id) where a.programme = $3 order by l.lot_id
) l using (lot_id)
group by 1, 2, 3, 4 order by 1, 2, 3, 4;

-- name: debt
select coalesce(-sum(p.points), 0)::bigint from ledger_posting p join ledger_entry e using (account_id, entry_id)
join account a on a.account_id = e.account_id
where p.ledger_account = 'debt' and e.at_ms < $1 and a.programme = $2;

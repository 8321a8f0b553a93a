-- Accounts, lots and postings. Whoever changes an account's rows holds its row lock (`lock_account`).

-- name: lock_account
select account_id, posted, held, debt, version, home_store, blocked, programme, erased, merged_into
from account where account_id = $1 for update;

-- name: current_account
select coalesce(merged_into, account_id) from account where account_id = $1;

-- name: change_account
update account set posted = posted + $2, held = held + $3, debt = debt + $4, version = version + 1
where account_id = $1;

-- name: write_entry
insert into ledger_entry (account_id, kind, subject, arrival, at_ms) values ($1, $2, $3, $4, $5) returning entry_id;

-- name: write_postings
insert into ledger_posting (account_id, entry_id, leg, ledger_account, lot_id, points)
select $1, $2, leg, ledger_account, lot_id, points
from unnest($3::int[], $4::text[], $5::bigint[], $6::bigint[]) as p (leg, ledger_account, lot_id, points);

-- name: new_lot
insert into lot (account_id, name, restriction, active_from, expires_on, sale_key, offer_id, issued, available)
values ($1, $2, $3, $4, $5, $6, $7, $8, $8) returning lot_id;

-- name: spendable_lots
-- Unrestricted lots that count on a day, soonest ending first.
select lot_id, available, expires_on from lot
where account_id = $1 and available > 0 and restriction = '' and active_from <= $2
  and (expires_on = '' or expires_on > $3)
order by expires_on = '', expires_on, lot_id;

-- name: lots_of_sale
select lot_id, offer_id, available from lot where account_id = $1 and sale_key = $2 order by lot_id;

-- name: hold
update lot l set available = l.available - p.points, held = l.held + p.points
from unnest($2::bigint[], $3::bigint[]) as p (lot_id, points) where l.account_id = $1 and l.lot_id = p.lot_id;

-- name: unhold
update lot l set available = l.available + p.points, held = l.held - p.points
from unnest($2::bigint[], $3::bigint[]) as p (lot_id, points) where l.account_id = $1 and l.lot_id = p.lot_id;

-- name: give_back
update lot set available = available + $3, redeemed = redeemed - $3 where account_id = $1 and lot_id = $2;

-- name: take_back
update lot set available = available - $3, taken_back = taken_back + $3 where account_id = $1 and lot_id = $2;

-- name: redemption_lots
select r.lot_id, r.points - r.given_back as points, coalesce(l.name, '') as name,
       coalesce(l.restriction, '') as restriction, coalesce(l.expires_on, '') as expires_on
from redemption_lot r left join lot l using (account_id, lot_id)
where r.account_id = $1 and r.sale_key = $2 and r.points > r.given_back order by r.lot_id = 0, r.lot_id for update of r;

-- name: note_given_back
update redemption_lot set given_back = given_back + $4 where account_id = $1 and sale_key = $2 and lot_id = $3;

-- name: pool_recovers
update risk_pool set free = free + least(losses, $1::bigint), losses = losses - least(losses, $1::bigint),
    uncovered = greatest(0, uncovered - greatest(0, $1::bigint - losses)) where id = 1;

-- name: verify_ranges
-- Ends of ranges of so many accounts each.
select account_id from (select account_id, row_number() over (order by account_id) as n from account) a
where n % $1 = 0 order by account_id;

-- name: verify_entries
-- Of a range of accounts, as the next three; also how many postings were added up.
select count(*) filter (where total <> 0 or not has_entry) as broken, coalesce(sum(legs), 0)::bigint as rows from (
    select coalesce(sum(p.points), 1) as total, count(*) as legs, bool_and(e.is_there is not null) as has_entry
    from (select account_id, entry_id, true as is_there from ledger_entry where account_id > $1 and account_id <= $2) e
    full join (select account_id, entry_id, points from ledger_posting where account_id > $1 and account_id <= $2) p
        using (account_id, entry_id)
    group by account_id, entry_id
) t;

-- name: verify_accounts
select count(*) filter (where a.posted <> coalesce(p.posted, 0) or a.debt <> coalesce(p.debt, 0)
    or a.held <> coalesce(g.held, 0) or a.posted <> coalesce(l.posted, 0) or a.held <> coalesce(l.held, 0)) as broken,
    count(*) as rows
from account a
left join (
    select account_id, sum(points) filter (where ledger_account = 'member') as posted,
           -sum(points) filter (where ledger_account = 'debt') as debt
    from ledger_posting where account_id > $1 and account_id <= $2 group by account_id
) p using (account_id)
left join (
    select account_id, sum(outstanding) as held from right_grant where account_id > $1 and account_id <= $2
    group by account_id
) g using (account_id)
left join (
    select account_id, sum(available + held) as posted, sum(held) as held from lot
    where account_id > $1 and account_id <= $2 group by account_id
) l using (account_id)
where a.account_id > $1 and a.account_id <= $2;

-- name: verify_lots
select count(*) filter (
    where lot.available + lot.held <> coalesce(p.points, 0) or lot.held <> coalesce(g.points, 0)
        or a.account_id is null) as broken,
    count(*) as rows
from lot
left join account a using (account_id)
left join (
    select account_id, lot_id, sum(points) as points from ledger_posting
    where ledger_account = 'member' and account_id > $1 and account_id <= $2 group by account_id, lot_id
) p using (account_id, lot_id)
left join (
    select account_id, lot_id, sum(points) as points from right_grant_lot
    where account_id > $1 and account_id <= $2 group by account_id, lot_id
) g using (account_id, lot_id)
where lot.account_id > $1 and lot.account_id <= $2;

-- name: verify_grants
select count(*) filter (where r.outstanding <> coalesce(l.points, 0)) as broken, count(*) as rows from right_grant r
left join (
    select account_id, grant_id, sum(points) as points from right_grant_lot
    where account_id > $1 and account_id <= $2 group by account_id, grant_id
) l using (account_id, grant_id)
where r.account_id > $1 and r.account_id <= $2;

-- name: verify_receipts
-- Every posted receipt redeemed in the ledger what it says, and earned what it says.
-- Of points that only qualify no more came off than was given.
select count(*) from receipt r
left join (
    select e.subject,
           sum(p.points) filter (where p.ledger_account = 'redeemed' and e.kind = 'redeem') as redeemed,
           -sum(p.points) filter (where p.ledger_account = 'issued' and e.kind = 'earn') as earned
    from ledger_entry e join ledger_posting p using (account_id, entry_id) group by e.subject
) l on l.subject = r.sale_key
where r.account_id is not null
  and (r.redeemed_points <> coalesce(l.redeemed, 0) or r.earned_points <> coalesce(l.earned, 0)
       or r.qualifying_points > 0 and r.qualifying_points < (
           select coalesce(sum(f.qualifying_points), 0) from refund f where f.sale_key = r.sale_key));

-- name: verify_records
select count(*) from (select arrival from receipt union all select arrival from outcome) e
left join inbox i using (arrival) where i.arrival is null;

-- name: verify_returns
-- Lines of which more came back than was sold, and returns that moved other points than they say.
select (
    select count(*) from (
        select sale_key, line_id, sum(quantity) as quantity from returned_line group by sale_key, line_id
    ) b join receipt r using (sale_key) left join lateral (
        select (l->>'quantity')::bigint as quantity
        from json_array_elements(convert_from(r.calculation, 'utf8')::json->'lines') l
        where l->>'line_id' = b.line_id
    ) s on true where b.quantity > coalesce(s.quantity, 0)
) + (
    select count(*) from refund f join receipt r using (sale_key) left join (
        select e.subject,
               -sum(p.points) filter (where p.ledger_account = 'redeemed' and e.kind = 'give_back') as points_back,
               sum(p.points) filter (where p.ledger_account = 'taken_back' and e.kind = 'take_back') as taken_back
        from ledger_entry e join ledger_posting p using (account_id, entry_id) group by e.subject
    ) l on l.subject = f.refund_key
    where r.account_id is not null
      and (f.points_back <> coalesce(l.points_back, 0) or f.taken_back <> coalesce(l.taken_back, 0))
);

-- name: verify_pool
select count(*) from risk_pool p, (
    select coalesce(-sum(points), 0) as losses from ledger_posting where ledger_account = 'losses'
) l, (
    select coalesce(sum(risk_points_total - risk_points_settled - risk_points_kept - risk_points_home), 0) as budgets,
        coalesce(sum(risk_points_kept), 0) as kept from till_stream
) b, (
    select coalesce(sum(exposure), 0) as exposures from right_grant where exposure > 0
) e
where p.losses + p.uncovered <> l.losses or p.budgets <> b.budgets or p.exposures <> e.exposures + b.kept or p.uncovered <> 0;

-- name: verify_tills
-- Tills that hold other points in grants, or have other risk budgets unsettled, than is counted for them.
select count(*) from till_rights r left join (
    select till_id, sum(outstanding) as outstanding from right_grant where purpose = 'grant' group by till_id
) g using (till_id) left join (
    select till_id, sum(risk_points_total - risk_points_settled - risk_points_kept - risk_points_home) as risk_points
    from till_stream group by till_id
) s using (till_id)
where r.outstanding <> coalesce(g.outstanding, 0) or r.risk_points <> coalesce(s.risk_points, 0);

-- name: verify_counters
select count(*) from shared_counter c where c.given > c.most or c.given + c.taken_back <> c.swept_used + coalesce((
    select sum(g.outstanding + g.used) from counter_grant g where g.counter = c.name), 0);

-- name: verify_once
-- Of a range of accounts: two entries of a kind have the same one.
select count(*) filter (where entries > 1) as broken, coalesce(sum(entries), 0)::bigint as rows from (
    select count(*) as entries from ledger_entry
    where kind in ('earn', 'redeem', 'give_back', 'take_back') and account_id > $1 and account_id <= $2
    group by subject, kind, account_id
) e;

-- name: verify_purchases
select count(*) from account a
left join (select account_id, count(*) as receipts from receipt where counted group by account_id) r using (account_id)
where a.purchases <> coalesce(r.receipts, 0);

-- name: verify_programmes
-- Nothing of it is looked at where there is one programme. Receipts under rules that were never published say no programme.
select (
    select count(*) from account a join (
        select account_id, programme from card where exists (select from programme where programme <> '') offset 0
    ) c using (account_id) where c.programme <> a.programme
) + (
    select count(*) from account a join (
        select r.account_id, b.programme from receipt r join bundle b on r.bundle in (b.hash, nullif(b.base_hash, ''))
        where r.account_id is not null and exists (select from programme where programme <> '') offset 0
    ) r using (account_id) where r.programme <> a.programme
) + (
    select count(*) from account a join (
        select i.account_id, s.programme from store_interest i join store s using (store_id)
        where exists (select from programme where programme <> '') offset 0
    ) i using (account_id) where i.programme <> a.programme
);

-- name: verify_merges
select (coalesce(sum(points), 0) <> 0)::int from ledger_posting where ledger_account = 'merged';

-- name: verify_equal
select count(*) from receipt where not equal;

-- name: verify_partners
-- What of partners' own points is no line of its receipt, or has come back though it was not handed out; days that are not the sums
-- of their lines; what partners gave and took back that the ledger has otherwise: of somebody forgotten the chain took it.
select (
    select count(*) from (
        select receipt, offer, partner, coalesce(sum(points) filter (where refund = ''), 0) as handed_out,
               coalesce(sum(points) filter (where refund <> ''), 0) as handed_back
        from (
            select client_id as partner, receipt, refund, offer, points from partner_hand_out
            union all select partner, receipt, refund, offer, points from partner_hand_out_new
        ) l group by receipt, offer, partner
    ) g left join receipt r on r.sale_key = g.receipt left join lateral (
        select sum((h->>'quantity')::bigint) as quantity
        from json_array_elements(convert_from(r.calculation, 'utf8')::json->'hand_outs') h
        where h->>'kind' = 'partner_points' and h->>'offer_id' = g.offer and h->>'what' = g.partner
    ) s on true where g.handed_back > g.handed_out or g.handed_out is distinct from s.quantity
) + (
    select count(*) from partner_hand_out_day d full join (
        select client_id, day, sum(points) filter (where refund = '') as handed_out,
               sum(points) filter (where refund <> '') as handed_back from partner_hand_out group by client_id, day
    ) l using (client_id, day)
    where (coalesce(d.handed_out, 0), coalesce(d.handed_back, 0)) <> (coalesce(l.handed_out, 0), coalesce(l.handed_back, 0))
) + (
    select count(*) from partner_day d full join (
        select client_id, day, sum(points) filter (where kind = 'accrual') as accrued,
               sum(points) filter (where kind = 'reversal') as reversed, sum(not_recovered) as not_recovered
        from partner_movement group by client_id, day
    ) l using (client_id, day)
    where (coalesce(d.accrued, 0), coalesce(d.reversed, 0), coalesce(d.not_recovered, 0))
       <> (coalesce(l.accrued, 0), coalesce(l.reversed, 0), coalesce(l.not_recovered, 0))
) + (
    select count(*) from partner_movement m join account a using (account_id) left join (
        select e.subject,
               -sum(p.points) filter (where p.ledger_account = 'issued' and e.kind = 'earn') as given,
               sum(p.points) filter (where p.ledger_account = 'taken_back' and e.kind = 'take_back') as taken
        from ledger_entry e join ledger_posting p using (account_id, entry_id) where e.subject like 'partner:%' group by e.subject
    ) l on l.subject = 'partner:' || m.client_id || ':' || m.reference
    where m.kind = 'accrual' and m.points <> coalesce(l.given, 0)
       or m.kind = 'reversal' and (coalesce(l.taken, 0) > m.points - m.not_recovered
            or coalesce(l.taken, 0) < m.points - m.not_recovered and not a.erased)
);

-- name: verify_figures
select (select count(*) from account) as accounts, (select count(*) from ledger_entry) as entries,
       (select count(*) from receipt) as receipts, (select coalesce(sum(posted), 0) from account) as posted,
       (select coalesce(sum(held), 0) from account) as held, (select losses from risk_pool) as losses;

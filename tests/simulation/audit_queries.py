"""What the auditor asks of the centre's tables: what must never be there, and rare things."""

ALWAYS = {
    "an entry does not add up to zero": """
        select count(*) from (
            select account_id, entry_id from ledger_posting
            group by account_id, entry_id having sum(points) <> 0) t""",
    "an entry has no postings": """
        select count(*) from ledger_entry e where not exists (
            select from ledger_posting p
            where (p.account_id, p.entry_id) = (e.account_id, e.entry_id))""",
    "an account is not the sum of its postings": """
        select count(*) from account a
        where posted <> coalesce((
            select sum(points) from ledger_posting p
            where p.account_id = a.account_id and ledger_account = 'member'), 0)
        or debt <> coalesce((
            select -sum(points) from ledger_posting p
            where p.account_id = a.account_id and ledger_account = 'debt'), 0)""",
    "an account is not the sum of its lots": """
        select count(*) from account a where (posted, held) <> (
            select coalesce(sum(available + held), 0), coalesce(sum(held), 0)
            from lot l where l.account_id = a.account_id)""",
    "an account has less than is held of it": """
        select count(*) from account where posted < held or held < 0""",
    "a lot does not keep its points": """
        select count(*) from lot l
        where issued <> available + held + redeemed + taken_back
        or available + held <> (
            select coalesce(sum(points), 0) from ledger_posting p
            where p.account_id = l.account_id and p.lot_id = l.lot_id
            and ledger_account = 'member')""",
    "a lot holds more or less than rights do": """
        select count(*) from lot l where held <> (
            select coalesce(sum(points), 0) from right_grant_lot g
            where (g.account_id, g.lot_id) = (l.account_id, l.lot_id))""",
    "a right is not the sum of its lots": """
        select count(*) from right_grant r where outstanding <> (
            select coalesce(sum(points), 0) from right_grant_lot g
            where (g.account_id, g.grant_id) = (r.account_id, r.grant_id))""",
    "the pool does not add up": """
        select count(*) from risk_pool
        where funded <> free + budgets + exposures + losses""",
    "the pool's budgets are not those of the tills": """
        select count(*) from risk_pool where budgets <> (
            select sum(risk_points_total - risk_points_settled) from till_stream)""",
    "the pool keeps back other than what was written off": """
        select count(*) from risk_pool where exposures <> (
            select coalesce(sum(exposure), 0) from right_grant)""",
    "the pool's losses are not those of the ledger": """
        select count(*) from risk_pool where losses <> (
            select coalesce(-sum(points), 0) from ledger_posting
            where ledger_account = 'losses')""",
    "a sale earns or redeems twice": """
        select count(*) from (
            select subject from ledger_entry where kind in ('earn', 'redeem')
            group by subject, kind having count(*) > 1) t""",
    "more of a line came back than was sold": """
        select count(*) from (
            select sale_key, line_id, sum(quantity) as quantity from returned_line
            group by sale_key, line_id) t
        join receipt r using (sale_key) where quantity > (
            select (l->>'quantity')::bigint
            from json_array_elements(convert_from(r.calculation, 'utf8')::json->'lines') l
            where l->>'line_id' = t.line_id)""",
    "more money was handed out than was paid, and no till said otherwise": """
        select count(*) from (
            select sale_key, sum(money_back_minor + deducted_minor) as money_minor
            from refund join outcome o using (arrival)
            group by sale_key having bool_and(o.outcome = 'accepted')) t
        join receipt r using (sale_key) where t.money_minor > r.paid_minor""",
    "an account's purchases are not its receipts less those that came back whole": """
        select count(*) from account a where purchases <> (
            select count(*) from receipt r where r.account_id = a.account_id and exists (
                select from json_array_elements(
                    convert_from(r.calculation, 'utf8')::json->'lines') l
                where (l->>'quantity')::bigint > coalesce((
                    select sum(quantity) from returned_line b
                    where b.sale_key = r.sale_key and b.line_id = l->>'line_id'), 0)))""",
    "a shared counter does not add up, or more of it was given than there is": """
        select count(*) from shared_counter c
        where given > most or given + taken_back <> coalesce((
            select sum(outstanding + used) from counter_grant g where g.counter = c.name), 0)""",
    "a receipt was recalculated otherwise": "select count(*) from receipt where not equal",
    "a record that was decided has no outcome, or one that was not has": """
        select count(*) from inbox i left join outcome o using (arrival)
        where (i.applied or i.parked_for is not null) <> (o.arrival is not null)
        and not (o.outcome = 'parked' and not i.applied)""",
    "a record was set aside as broken": """
        select count(*) from outcome where reason like 'could not be applied%'""",
}
"""Each statement counts rows that must not be there, at any moment."""

PAID_BEYOND_RISK = """
    select till_id, (paid - risked)::bigint as points from (
        select i.till_id, -p.points as paid, coalesce((
            select sum((s->>'points')::bigint)
            from json_array_elements(convert_from(i.body, 'utf8')::json->'sources') s
            where s->>'kind' = 'risk'), 0) as risked
        from ledger_entry e join ledger_posting p using (account_id, entry_id)
        join inbox i using (arrival)
        where e.kind = 'redeem' and p.ledger_account = 'losses') t
    where paid > risked"""
"""Receipts for which the pool paid more than their till's risk budget stood for."""

RARE = """
with record as (
    select arrival, convert_from(body, 'utf8')::json as body from inbox
), source as (
    select s->>'kind' as kind, coalesce((body->>'link_up')::boolean, false) as link_up
    from record, json_array_elements(body->'sources') s where body->>'kind' = 'sale'
)
select kind || case when link_up then ' spent' else ' spent offline' end as what, count(*) as times
    from source group by 1
union all select 'stream begun anew: ' || (body->>'reason'), count(*) from record
    where body->>'kind' = 'open' group by 1
union all select 'residue returned: ' || (body->>'why'), count(*) from record
    where body->>'kind' = 'grant_return' group by 1
union all select 'parked ' || (r.body->>'kind') || ' resolved', count(*)
    from record r join inbox i using (arrival)
    where arrival = any($1::bigint[]) and i.applied group by 1
union all select 'revoked till began a stream anew', count(*)
    from record r join outcome o using (arrival)
    where r.body->>'kind' = 'open' and r.body->>'reason' = 'amnesia' and outcome = 'rejected_kept'
union all select 'branch kept', count(*) from inbox where branch
union all select 'outcome ' || outcome, count(*) from outcome group by 1
union all select 'the pool paid', count(*) from ledger_posting
    where ledger_account = 'losses' and points < 0
union all select 'stranded transfer recovered', count(*) from right_transfer where stranded
union all select 'late spend on a written-off right', count(*) from outcome
    where reason like 'spent from a right that was written off before%'
union all select 'right written off', count(*) from right_grant where written_off > 0
union all select 'right by courier spent', count(*) from right_grant g
    where ask_number is not null and state = 'settled'
union all select 'debt', count(*) from ledger_posting where ledger_account = 'debt' and points < 0
union all select 'authorisation released unused', count(*) from right_grant r
    where purpose = 'authorisation' and outstanding = 0
    and not exists (select from redemption_lot l where l.sale_key = r.sale_key)
"""
"""Counts of things that a large run must have seen; $1 = arrivals once seen parked."""

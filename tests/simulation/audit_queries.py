"""What the auditor asks of the centre's tables: what must never be there, and rare things."""

from tests.simulation.centre import RIGHTS

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
        select count(*) from account a left join (
            select account_id, sum(points) filter (where ledger_account = 'member') as member,
                sum(points) filter (where ledger_account = 'debt') as debt
            from ledger_posting group by account_id) p using (account_id)
        where posted <> coalesce(p.member, 0) or a.debt <> coalesce(-p.debt, 0)""",
    "an account is not the sum of its lots": """
        select count(*) from account a left join (
            select account_id, sum(available + held) as points, sum(held) as held
            from lot group by account_id) l using (account_id)
        where posted <> coalesce(l.points, 0) or a.held <> coalesce(l.held, 0)""",
    "an account has less than is held of it": """
        select count(*) from account where posted < held or held < 0""",
    "a lot does not keep its points": """
        select count(*) from lot l left join (
            select account_id, lot_id, sum(points) as points from ledger_posting
            where ledger_account = 'member' group by account_id, lot_id) p
            using (account_id, lot_id)
        where issued <> available + held + redeemed + taken_back
        or available + held <> coalesce(p.points, 0)""",
    "a lot holds more or less than rights do": """
        select count(*) from lot l left join (
            select account_id, lot_id, sum(points) as points from right_grant_lot
            group by account_id, lot_id) g using (account_id, lot_id)
        where held <> coalesce(g.points, 0)""",
    "a right is not the sum of its lots": """
        select count(*) from right_grant r left join (
            select account_id, grant_id, sum(points) as points from right_grant_lot
            group by account_id, grant_id) g using (account_id, grant_id)
        where outstanding <> coalesce(g.points, 0)""",
    "the pool does not add up": """
        select count(*) from risk_pool
        where funded <> free + budgets + exposures + losses""",
    "the pool's budgets are not those of the tills": """
        select count(*) from risk_pool where budgets <> (
            select sum(risk_points_total - risk_points_settled - risk_points_kept
                - risk_points_home) from till_stream)""",
    "a till has more risk budget unsettled, over all its streams, than a till may have": f"""
        select count(*) from (
            select till_id, sum(risk_points_total - risk_points_settled - risk_points_kept
                - risk_points_home) as points from till_stream group by till_id) t
        where points > {RIGHTS.risk_points_per_till}""",
    "a till holds more in grants than a till may": f"""
        select count(*) from (
            select till_id, sum(outstanding) as points from right_grant
            where purpose = 'grant' group by till_id) t
        where points > {RIGHTS.till_points_max}""",
    "the pool keeps back other than what was written off": """
        select count(*) from risk_pool where exposures <> (
            select coalesce(sum(exposure), 0) from right_grant) + (
            select coalesce(sum(risk_points_kept), 0) from till_stream)""",
    "the pool's losses are not those of the ledger": """
        select count(*) from risk_pool where losses + uncovered <> (
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
        join sold_line l using (sale_key, line_id) where t.quantity > l.quantity""",
    "more money was handed out than was paid, and no till said otherwise": """
        select count(*) from (
            select sale_key, sum(money_back_minor + deducted_minor) as money_minor
            from refund join outcome o using (arrival)
            group by sale_key having bool_and(o.outcome = 'accepted')) t
        join receipt r using (sale_key) where t.money_minor > r.paid_minor""",
    "an account's purchases are not its receipts less those that came back whole": """
        select count(*) from account a left join (
            select r.account_id, count(distinct r.sale_key) as times
            from receipt r join sold_line l using (sale_key) left join (
                select sale_key, line_id, sum(quantity) as quantity from returned_line
                group by sale_key, line_id) b using (sale_key, line_id)
            where l.quantity > coalesce(b.quantity, 0) group by r.account_id) t using (account_id)
        where purchases <> coalesce(t.times, 0)""",
    "a shared counter does not add up, or more of it was given than there is": """
        select count(*) from shared_counter c
        where given > most or given + taken_back <> swept_used + coalesce((
            select sum(outstanding + used) from counter_grant g where g.counter = c.name), 0)""",
    "a receipt was recalculated otherwise": "select count(*) from receipt where not equal",
    "a record that was decided has no outcome": """
        select count(*) from inbox i left join outcome o using (arrival)
        where (i.applied or i.parked_for is not null) and o.arrival is null""",
    "a record was set aside as broken": """
        select count(*) from outcome where reason like 'could not be applied%'""",
}
"""Each statement counts rows that must not be there, at any moment."""

ALL_ALWAYS = " union all ".join(
    f"select {number} as number, ({sql}) as count" for number, sql in enumerate(ALWAYS.values())
)
"""All of them in one: whoever asks often should not ask long."""

LINES_SOLD = """
    create temp table if not exists sold_line (sale_key text, line_id text, quantity bigint);
    insert into sold_line select sale_key, l->>'line_id', (l->>'quantity')::bigint
        from receipt, json_array_elements(convert_from(calculation, 'utf8')::json->'lines') l
        where sale_key not in (select sale_key from sold_line)"""
"""Reads the lines of receipts that came since the last time; a receipt is never written again."""

LINES_ANEW = "drop table if exists pg_temp.sold_line"
"""Has all of them read again: what was never written again is still what it was."""

NEW_RECORDS = """
    select till_id, incarnation, i.seq, hash, body
    from inbox i left join unnest($1::bigint[], $2::bytea[], $3::bigint[])
        as head (till_id, incarnation, seq) using (till_id, incarnation)
    where not branch and i.seq > coalesce(head.seq, 0)
    order by till_id, incarnation, i.seq"""
"""Records of the streams' prefixes behind given heads."""

INGESTED_KEYS = "select convert_from(body, 'utf8')::json->>'key' as key from inbox"
"""Receipts and returns of which the centre has a record."""

UNDECIDED = """
    select count(*) from inbox i left join outcome o using (arrival)
    where o.arrival is null and received_at_ms < $1"""
"""Records that came before a moment and have no outcome yet."""

POINTS_OVER = """
    select account_id, sum(available)::bigint as points, sum(least(available, lent))::bigint as lent
    from lot cross join business_day d cross join lateral (
        select coalesce(sum(g.points), 0) as lent from right_grant_lot l
        join right_grant g using (account_id, grant_id)
        where l.account_id = lot.account_id and l.lot_id = lot.lot_id) r
    where expires_on <> '' and expires_on <= d.day and available > 0
    group by account_id, expires_on order by account_id, expires_on"""
"""Points whose time is over, by account and day: they are still posted. Some may have come home out
of rights since, that a till was told of while they were held."""

STREAMS = """
    select till_id, incarnation, last_seq, last_hash,
        risk_points_total - risk_points_settled - risk_points_home as risk, array(
            select seq from inbox i where i.till_id = s.till_id
            and i.incarnation = s.incarnation and not branch and not applied) as waiting
    from till_stream s order by till_id, incarnation"""
"""Streams, their risk budgets, and what of them is not applied."""

AT_REST = {
    "the pool keeps back for a right what is settled already": """
        select count(*) from right_grant r
        where exposure > 0 and exposure > greatest(0, points - coalesce((
            select sum((s->>'points')::bigint) from receipt c join inbox i using (arrival),
            json_array_elements(convert_from(i.body, 'utf8')::json->'sources') s
            where c.account_id = r.account_id and s->>'grant_id' = r.grant_id), 0))""",
}
"""The same, once everything that can arrive has arrived."""

CAMPAIGNS = """
    select name, most, overdrawn, swept_used - taken_back + overdrawn + coalesce((
        select sum(used) from counter_grant g where g.counter = c.name), 0)::bigint as net
    from shared_counter c where most > 0"""
"""Limits over all customers, and what the centre's books say was used and did not come back."""

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
union all select 'till quarantined', count(*) from till where quarantined_at_ms is not null
union all select 'risk budget written off', count(*) from till_stream
    where risk_written_off_at_ms is not null
union all select 'risk budget of a revoked till home', count(*) from till_stream
    where risk_points_home > 0
union all select 'right by courier spent', count(*) from right_grant g
    where ask_number is not null and state = 'settled'
union all select 'debt', count(*) from ledger_posting where ledger_account = 'debt' and points < 0
union all select 'authorisation released unused', count(*) from right_grant r
    where purpose = 'authorisation' and outstanding = 0
    and not exists (select from redemption_lot l where l.sale_key = r.sale_key)
"""
"""Counts of things that a large run must have seen; $1 = arrivals once seen parked."""

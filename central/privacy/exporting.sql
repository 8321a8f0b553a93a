-- Everything about one customer, a JSON array a section, of the accounts $1 (one, and those merged into it). Names of staff
-- are left out: they are somebody else's data.

-- name: aliases
-- The account, others with one of its cards (a wallet for each programme), and what was merged into them. A card that was
-- moved leads to other people in different programmes: it is not followed.
with wallets as (
    select $1::bigint as account_id union
    select o.account_id from card c join card o using (card)
    where c.account_id = $1
        and c.card not in (select card from card_move where undone_at_ms is null or undone_by = 'erasure'))
select account_id from account where account_id in (select account_id from wallets)
    or merged_into in (select account_id from wallets) order by account_id;

-- name: accounts
select coalesce(jsonb_agg(to_jsonb(t) order by t.account_id), '[]')::text from (
    select a.account_id, a.merged_into, a.tier, a.segments, a.personal_offers, a.home_store, a.purchases, a.posted as points,
        a.held as set_aside, a.debt, a.blocked, b.month_day as birthday, r.value as tier_value, r.since_day as tier_since
    from account a left join account_birthday b using (account_id) left join account_tier r using (account_id)
    where a.account_id = any($1::bigint[])) t;

-- name: card_hashes
select coalesce(jsonb_agg(encode(card, 'hex') order by card), '[]')::text from card where account_id = any($1::bigint[]);

-- name: lots
select coalesce(jsonb_agg(to_jsonb(t) order by t.lot_id), '[]')::text from (
    select account_id, lot_id, name, restriction, active_from, expires_on, sale_key as receipt, offer_id, issued, available,
        held as set_aside, redeemed, taken_back from lot where account_id = any($1::bigint[])) t;

-- name: movements
select coalesce(jsonb_agg(to_jsonb(t) order by t.entry_id), '[]')::text from (
    select e.account_id, e.entry_id, e.kind, e.subject, e.at_ms, (
        select jsonb_agg(jsonb_build_object('to', p.ledger_account, 'lot_id', p.lot_id, 'points', p.points) order by p.leg)
        from ledger_posting p where p.account_id = e.account_id and p.entry_id = e.entry_id) as postings
    from ledger_entry e where e.account_id = any($1::bigint[])) t;

-- name: receipts
select coalesce(jsonb_agg(to_jsonb(t) order by t.moment, t.receipt), '[]')::text from (
    select sale_key as receipt, account_id, store_id as store, till_id as till, moment, gross_minor, discount_minor,
        redeemed_minor, redeemed_points, paid_minor, earned_points, convert_from(calculation, 'UTF8')::jsonb as calculation
    from receipt where account_id = any($1::bigint[])) t;

-- name: returns
select coalesce(jsonb_agg(to_jsonb(t) order by t.return), '[]')::text from (
    select f.refund_key as return, f.sale_key as receipt, f.money_back_minor, f.deducted_minor, f.deducted_points,
        f.points_back, f.taken_back, (
            select jsonb_agg(jsonb_build_object('line', l.line_id, 'quantity', l.quantity) order by l.line_id)
            from returned_line l where l.sale_key = f.sale_key and l.refund_key = f.refund_key) as lines
    from refund f join receipt r using (sale_key) where r.account_id = any($1::bigint[])) t;

-- name: counters
select coalesce(jsonb_agg(to_jsonb(t) order by t.account_id, t.name), '[]')::text from (
    select account_id, name, value, ends_on, used_at, used_store from account_counter where account_id = any($1::bigint[])) t;

-- name: stores
select coalesce(jsonb_agg(to_jsonb(t) order by t.account_id, t.store), '[]')::text from (
    select account_id, store_id as store, weight, last_day as day_number from account_visit
    where account_id = any($1::bigint[])) t;

-- name: adjustments
select coalesce(jsonb_agg(to_jsonb(t) order by t.at_ms, t.adjustment), '[]')::text from (
    select adjustment_key as adjustment, account_id, points, code as reason, note, at_ms from adjustment
    where account_id = any($1::bigint[])) t;

-- name: merges
select coalesce(jsonb_agg(to_jsonb(t) order by t.merged_at_ms), '[]')::text from (
    select from_account, into_account, reason, merged_at_ms, undone_at_ms from account_merge
    where from_account = any($1::bigint[]) or into_account = any($1::bigint[])) t;

-- name: card_moves
select coalesce(jsonb_agg(to_jsonb(t) order by t.moved_at_ms), '[]')::text from (
    select encode(card, 'hex') as card_hash, from_account, to_account, reason, moved_at_ms, undone_at_ms from card_move
    where from_account = any($1::bigint[]) or to_account = any($1::bigint[])) t;

-- name: offers_to_activate
select coalesce(jsonb_agg(to_jsonb(t) order by t.account_id, t.offer_id), '[]')::text from (
    select account_id, offer_id, activated_at_ms from offer_to_activate where account_id = any($1::bigint[])) t;

-- name: partners
select coalesce(jsonb_agg(to_jsonb(t) order by t.at_ms), '[]')::text from (
    select account_id, client_id as partner, reference, kind, points, occurred_on, at_ms from partner_movement
    where account_id = any($1::bigint[])) t;

-- name: signed_in
select coalesce(jsonb_agg(to_jsonb(t) order by t.made_at_ms), '[]')::text from (
    select account_id, client_id as app, scopes, made_at_ms, refreshed_at_ms, ends_at_ms, ended from app_session
    where account_id = any($1::bigint[])) t;

-- name: consents
select coalesce(jsonb_agg(to_jsonb(t) order by t.at_ms), '[]')::text from (
    select account_id, purpose, given, source, at_ms from personal.consent where account_id = any($1::bigint[])) t;

-- name: looked_at
-- When somebody at the centre looked at these data or changed them.
select coalesce(jsonb_agg(to_jsonb(t) order by t.at_ms), '[]')::text from (
    select at_ms, action, subject from audit
    where subject = any(select 'account:' || a from unnest($1::bigint[]) a)) t;

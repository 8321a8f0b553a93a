-- Asks carried by customers' telephones, and the receipts they bring along (design: sync 4.9).

-- name: lock_ask
-- One ask at a time, whoever brings it, before any account is locked.
select pg_advisory_xact_lock(hashtextextended('ask:' || $1::bigint || ':' || encode($2::bytea, 'hex'), 0));

-- name: grant_of_ask
select account_id, grant_id, body from right_grant
where till_id = $1 and incarnation = $2 and session = $3 and ask_number is not null;

-- name: note_ask
update right_grant set ask_number = $3 where account_id = $1 and grant_id = $2;

-- name: cards_of_account
select card from card where account_id = $1 order by card;

-- name: tier_of_account
select tier from account where account_id = $1;

-- name: asking_till
select t.store_id, t.revoked or t.quarantined_at_ms is not null as revoked, t.public_key, s.programme,
       t.session_incarnation = $2 and t.session_asks_made >= $3 and not $4 = any(t.session_asks_open) as over,
       exists (select 1 from till_stream old join till_stream newer using (till_id)
               where till_id = t.till_id and old.incarnation = $2
                 and newer.incarnation_number > old.incarnation_number) as followed
from till t join store s using (store_id) where t.till_id = $1;

-- name: account_of_card
select account_id from card where card = $1 and programme = $2;

-- name: note_asks
update till set session_asks_made = $2, session_asks_open = $3, session_opened_ms = $4 where till_id = $1;

-- name: dead_asks
-- Grants by courier the till has not recorded and never will: at the HELLO of this live session the ask had been made
-- and was over, and all the stream held then is here and applied. The till's own count of its asks stands in for time.
select g.account_id, g.grant_id
from right_grant g join till t using (till_id) join till_stream s using (till_id, incarnation)
where g.till_id = $1 and g.incarnation = $2 and g.ask_number is not null and not g.received
  and (g.outstanding > 0 or g.exposure > 0 or g.given_up > g.found)
  and t.session = $3 and t.session_incarnation = $2 and s.last_seq >= t.session_seq
  and g.ask_number <= t.session_asks_made and not g.session = any(t.session_asks_open)
  and not exists (
      select 1 from inbox i
      where i.till_id = $1 and i.incarnation = $2 and not i.branch and not i.applied and i.parked_for is null)
order by g.account_id, g.grant_id;

-- name: grant_of_courier
select account_id, till_id, received, state, body from right_grant where grant_id = $1 and ask_number is not null;

-- name: heard_code
select code from receipt_hint where sale_key = $1;

-- name: place_of_till
select store_id, slot, revoked from till where till_id = $1;

-- name: key_of_till
select public_key from till where till_id = $1;

-- name: hear_receipt
insert into receipt_hint (sale_key, till_id, incarnation, seq, earned_points, redeemed_points, paid_minor, moment, code,
    heard_at_ms)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 where not exists (select 1 from receipt where sale_key = $1)
on conflict (sale_key) do nothing;

-- name: forget_posted
delete from receipt_hint h using receipt r where h.till_id = $1 and r.sale_key = h.sale_key;

-- name: seen_seq
select coalesce(max(seq), 0)::bigint from receipt_hint where till_id = $1 and incarnation = $2;

-- name: fate_of_receipt
select r.till_id, r.earned_points, r.redeemed_points, r.paid_minor, h.sale_key is not null as heard
from (select $1::text as sale_key) asked left join receipt r using (sale_key) left join receipt_hint h using (sale_key);

-- Customers who are signed in.

-- name: forget_over
delete from app_session where (account_id, session_id) in (
    select account_id, session_id from app_session where ends_at_ms <= $1 order by ends_at_ms limit 20);

-- name: account_of_card
select account_id from card where card = $1 and programme = $2;

-- name: insert_session
insert into app_session (account_id, session_id, client_id, card, scopes, refresh_hash, refreshed_at_ms, made_at_ms, ends_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $7, $8);

-- name: lock_session
select client_id, scopes, refresh_hash, previous_hash, refreshed_at_ms, ends_at_ms, ended from app_session
where account_id = $1 and session_id = $2 for update;

-- name: refresh
update app_session set refresh_hash = $3, previous_hash = $4, refreshed_at_ms = $5, ends_at_ms = $6
where account_id = $1 and session_id = $2;

-- name: end_session
update app_session set ended = true where account_id = $1 and session_id = $2;

-- name: session
-- With the account that the one signed in is by now: another one where it was merged.
select coalesce(o.merged_into, o.account_id) as account_id, s.card
from app_session s join api_client c using (client_id) join account o using (account_id)
where s.account_id = $1 and s.session_id = $2 and s.client_id = $3 and not s.ended and s.ends_at_ms > $4
  and not c.disabled;

-- name: customer
-- With a card of the account, the one signed in with where it still is.
select a.account_id, a.blocked, a.programme, coalesce((
    select c.card from account_card c where c.account_id = a.account_id order by c.card <> $2, c.card limit 1), '\x') as card
from account a where a.account_id = $1;

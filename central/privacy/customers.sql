-- What is known of a customer as a person; run under the personal role.

-- name: hold_erasures
-- Beside others who write, and not beside an erasure that begins or empties an account.
select pg_advisory_xact_lock_shared(hashtextextended('tillside erasure', 0));

-- name: account
-- Whose account a number stands for; gone as soon as it was asked for, of it or of the one it was merged into.
with asked as (select coalesce(merged_into, account_id) as current, erased from account where account_id = $1)
select c.account_id, c.erased or (select erased from asked) or exists (
    select from erasure where done_at_ms is null and number is null and accounts && array[$1, (select current from asked)]
) as erased
from account c where c.account_id = (select current from asked);

-- name: put
insert into personal.customer (account_id, key_name, wrapped_key, sealed, changed_at_ms) values ($1, $2, $3, $4, $5)
on conflict (account_id) do update set key_name = excluded.key_name, wrapped_key = excluded.wrapped_key,
    sealed = excluded.sealed, changed_at_ms = excluded.changed_at_ms;

-- name: sealed
-- Of an account and those merged into it, its own first, then the newest.
select account_id, key_name, wrapped_key, sealed from personal.customer
where account_id = $1 or account_id in (select account_id from account where merged_into = $1)
order by account_id = $1 desc, changed_at_ms desc;

-- name: drop_contacts
delete from personal.contact where account_id = $1;

-- name: put_contacts
insert into personal.contact (account_id, hash) select $1, hash from unnest($2::bytea[]) as c (hash) on conflict do nothing;

-- name: with_contact
select account_id from personal.contact where hash = $1 order by account_id limit 50;

-- name: put_consent
insert into personal.consent (account_id, purpose, given, source, person, at_ms) values ($1, $2, $3, $4, $5, $6);

-- name: consents
select distinct on (purpose) purpose, given, source, at_ms from personal.consent
where account_id = $1 or account_id in (select account_id from account where merged_into = $1)
order by purpose, at_ms desc, consent_id desc;

-- name: not_wrapped_with
select account_id, key_name, wrapped_key, sealed from personal.customer
where account_id > $1 and key_name <> $2 order by account_id limit $3 for update;

-- name: rewrap
update personal.customer set key_name = $2, wrapped_key = $3 where account_id = $1;

-- name: forget
delete from personal.customer where account_id = any($1::bigint[]);

-- name: forget_consents
delete from personal.consent where account_id = any($1::bigint[]);

-- name: is_nobody_known
select not exists (select from personal.customer);

-- name: keys_used
select name, value from personal.key_in_use;

-- name: use_key
insert into personal.key_in_use (name, value) values ($1, $2)
on conflict (name) do update set value = excluded.value where key_in_use.value <> excluded.value;

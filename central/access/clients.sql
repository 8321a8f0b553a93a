-- Programs that call from outside, and their secrets.

-- name: insert_client
insert into api_client (client_id, kind, title, scopes, made_at_ms, programme) values ($1, $2, $3, $4, $5, $6)
on conflict do nothing returning client_id;

-- name: lock_client
select kind, disabled from api_client where client_id = $1 for update;

-- name: insert_secret
insert into api_secret (client_id, secret_hash, made_at_ms) values ($1, $2, $3);

-- name: end_secrets
-- What ends sooner by itself stays so.
update api_secret set ends_at_ms = least(ends_at_ms, $2) where client_id = $1;

-- name: drop_secrets
delete from api_secret where client_id = $1 and (ends_at_ms <= $2 or secret_hash not in (
    select secret_hash from api_secret where client_id = $1 order by made_at_ms desc, secret_hash limit 1));

-- name: disable
update api_client set disabled = true where client_id = $1;

-- name: client_of_secret
select c.client_id, c.kind, c.scopes, c.programme from api_client c join api_secret s using (client_id)
where c.client_id = $1 and s.secret_hash = $2 and not c.disabled and (s.ends_at_ms is null or s.ends_at_ms > $3);

-- name: programme_of
select programme from api_client where client_id = $1 and not disabled;

-- name: clients
select c.client_id, c.kind, c.title, c.scopes, c.programme, c.disabled, c.made_at_ms,
       count(*) filter (where s.ends_at_ms is null or s.ends_at_ms > $2) as secrets
from api_client c left join api_secret s using (client_id) where c.kind = $1
group by c.client_id order by c.client_id;

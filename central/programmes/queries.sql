-- Programmes and the banners that have them; '' is the default one.

-- name: programmes
select p.programme, p.title, p.made_at_ms,
       array(select b.banner from banner b where b.programme = p.programme order by b.banner) as banners,
       coalesce((select max(r.version) from rule_release r join bundle b on b.hash = r.bundle
                 where b.programme = p.programme and r.state = 'open'), 0) as release
from programme p order by p.programme;

-- name: stores_of_programmes
select programme, count(*) as number from store group by programme;

-- name: accounts_of_programmes
select programme, count(*) as number from account where merged_into is null group by programme;

-- name: lock_programmes
select pg_advisory_xact_lock(hashtextextended('programme', 0));

-- name: keep_programmes
-- As many as like may hold it, and nobody who changes whose a banner is.
select pg_advisory_xact_lock_shared(hashtextextended('programme', 0));

-- name: is_known
select exists (select from programme where programme = $1);

-- name: are_several
select exists (select from programme where programme <> '');

-- name: insert_programme
insert into programme (programme, title, made_at_ms) values ($1, $2, $3) on conflict do nothing returning programme;

-- name: put_banner
insert into banner (banner, programme) values ($1, $2) on conflict (banner) do update set programme = excluded.programme;

-- name: stores_elsewhere
-- Stores of a banner that go by another programme.
select store_id from store where banner = $1 and programme <> $2 order by store_id;

-- name: stores_with_tills
select distinct store_id from till where store_id = any($1::text[]) order by store_id;

-- name: stores_with_customers
select distinct store_id from store_interest where store_id = any($1::text[]) order by store_id;

-- name: follow_banner
update store set programme = $2 where banner = $1 and programme <> $2;

-- name: programme_of_banner
select coalesce((select programme from banner where banner = $1), '');

-- name: programme_of_store
select programme from store where store_id = $1;

-- name: programme_of_account
select programme from account where account_id = $1;

-- name: newest_content
-- The rules of a programme that were published last.
select content_zstd from bundle where programme = $1 order by version desc limit 1;

-- name: cards_of_account
select card from account_card where account_id = $1 order by card;

-- name: accounts_of_cards
select account_id, count(*) as cards from card where card = any($1::bytea[]) group by account_id;

-- name: accounts
select account_id, programme, posted - debt as points, blocked from account where account_id = any($1::bigint[])
order by programme, account_id;

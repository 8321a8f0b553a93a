-- Accounts spread over the machines of a Citus cluster (central/database/spreading.py, docs/growth.md).

-- name: has_citus
select to_regproc('create_distributed_table') is not null;

-- name: spread_tables
select convert_from(value, 'utf8') from setting where name = 'spread_tables';

-- name: note_spread_tables
insert into setting (name, value) values ('spread_tables', convert_to($1, 'utf8'))
on conflict (name) do update set value = excluded.value;

-- name: foreign_keys
select c.conname as name, t.relname as of_table, r.relname as to_table,
    array(select a.attname::text from unnest(c.conkey) with ordinality k (n, place)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.n order by k.place) as columns,
    array(select a.attname::text from unnest(c.confkey) with ordinality k (n, place)
        join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.n order by k.place) as to_columns
from pg_constraint c join pg_class t on t.oid = c.conrelid join pg_class r on r.oid = c.confrelid
where c.contype = 'f' and c.conparentid = 0 and t.relnamespace = current_schema()::regnamespace
    and r.relnamespace = current_schema()::regnamespace
order by t.relname, c.conname;

-- name: triggers
select g.tgname as name, t.relname as of_table from pg_trigger g join pg_class t on t.oid = g.tgrelid
where not g.tgisinternal and g.tgparentid = 0 and t.relname = any($1::text[])
    and t.relnamespace = current_schema()::regnamespace
order by t.relname, g.tgname;

-- name: unique_keys
select i.relname as name, t.relname as of_table, x.indisprimary as is_primary,
    exists (select from pg_constraint c where c.conindid = x.indexrelid and c.contype in ('p', 'u')) as is_constraint,
    pg_get_indexdef(x.indexrelid) as definition,
    array(select a.attname::text from unnest(x.indkey::int[]) with ordinality k (n, place)
        join pg_attribute a on a.attrelid = t.oid and a.attnum = k.n order by k.place) as columns
from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class t on t.oid = x.indrelid
where x.indisunique and t.relname = any($1::text[]) and t.relnamespace = current_schema()::regnamespace
    and not t.relispartition
order by t.relname, i.relname;

-- name: distribute
select create_distributed_table($1::text::regclass, $2::text, colocate_with => $3::text);

-- name: replicate
select create_reference_table($1::text::regclass);

-- name: in_sequence
-- Reference tables and those that refer to them are made in one transaction.
set local citus.multi_shard_modify_mode to 'sequential';

-- name: functions
-- One account a statement: a lock on rows of several machines is refused.
create or replace function lock_accounts(wanted bigint[]) returns table (
    account_id bigint, posted bigint, held bigint, debt bigint, home_store text, merged_into bigint) language plpgsql as $$
declare
    one bigint;
begin
    for one in select w from unnest(wanted) as w order by w loop
        return query select a.account_id, a.posted, a.held, a.debt, a.home_store, a.merged_into from account a
            where a.account_id = one for update;
    end loop;
end
$$;
create or replace function lock_free_accounts(wanted bigint[]) returns setof bigint language plpgsql as $$
declare
    one bigint;
begin
    for one in select w from unnest(wanted) as w order by w loop
        return query select a.account_id from account a where a.account_id = one for update skip locked;
    end loop;
end
$$;
create or replace function lock_free_rights(of_accounts bigint[], wanted text[]) returns table (account_id bigint, grant_id text)
language plpgsql as $$
declare
    one record;
begin
    for one in select w.its_account, w.its_grant from unnest(of_accounts, wanted) as w (its_account, its_grant) loop
        return query select g.account_id, g.grant_id from right_grant g
            where g.account_id = one.its_account and g.grant_id = one.its_grant for update skip locked;
    end loop;
end
$$;
-- No trigger counts it: those of a spread table run on another machine.
create or replace function count_till_rights(of_tills bigint[], leaving bigint[]) returns void language plpgsql
    security definer set search_path from current as $$
begin
    insert into till_rights (till_id, outstanding) select w, 0 from unnest(of_tills) as w on conflict do nothing;
    perform from till_rights r where r.till_id = any(of_tills) order by r.till_id for update;
    update till_rights r set outstanding = r.outstanding - l.points
    from unnest(of_tills, leaving) as l (till_id, points) where r.till_id = l.till_id;
end
$$;

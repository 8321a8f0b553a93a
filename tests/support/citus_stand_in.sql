-- Citus's two functions for a plain PostgreSQL: a table that would be spread over machines stands in hash partitions.
-- PostgreSQL refuses for those what Citus refuses for its own: keys without the column they are spread by.
create schema if not exists citus_stand_in;

create or replace function citus_stand_in.create_reference_table(table_name regclass) returns void language sql as '';

create or replace function citus_stand_in.create_distributed_table(
    table_name regclass, distribution_column text, colocate_with text default 'default',
    parts int default coalesce(nullif(current_setting('citus_stand_in.parts', true), '')::int, 8))
returns void language plpgsql as $$
declare
    whole text := table_name::text;
    each record;
    sequence text;
    statement text;
    remake text[] := '{}';
begin
    for each in
        select c.relname, pg_get_viewdef(c.oid) as definition from pg_class c where c.relkind = 'v' and exists (
            select from pg_rewrite r join pg_depend d on d.objid = r.oid
            where r.ev_class = c.oid and d.refobjid = table_name)
        order by c.oid
    loop
        remake := remake || format('create view %I as %s', each.relname, each.definition);
        execute format('drop view %I', each.relname);
    end loop;
    for each in
        select conname, conrelid::regclass as of_table, pg_get_constraintdef(oid) as definition from pg_constraint
        where contype = 'f' and (conrelid = table_name or confrelid = table_name) and conparentid = 0
    loop
        remake := format('alter table %s add constraint %I %s', each.of_table, each.conname, each.definition) || remake;
        execute format('alter table %s drop constraint %I', each.of_table, each.conname);
    end loop;
    for each in
        select pg_get_indexdef(indexrelid) as definition from pg_index where indrelid = table_name
            and not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u'))
    loop
        remake := each.definition || remake;
    end loop;
    for each in
        select conname, pg_get_constraintdef(oid) as definition from pg_constraint
        where conrelid = table_name and contype in ('p', 'u')
    loop
        remake := format('alter table %I add constraint %I %s', whole, each.conname, each.definition) || remake;
    end loop;
    execute format('alter table %I rename to %I', whole, whole || '_whole');
    execute format('create table %I (like %I including defaults including constraints including storage)'
        ' partition by hash (%I)', whole, whole || '_whole', distribution_column);
    for number in 0 .. parts - 1 loop
        execute format('create table %I partition of %I for values with (modulus %s, remainder %s)',
            whole || '_p' || number, whole, parts, number);
    end loop;
    execute format('insert into %I select * from %I', whole, whole || '_whole');
    for each in
        select attname from pg_attribute where attrelid = table_name and attidentity <> '' and not attisdropped
    loop
        sequence := whole || '_' || each.attname || '_numbers';
        execute format('create sequence %I owned by %I.%I', sequence, whole, each.attname);
        execute format('select setval(%L, (select coalesce(max(%I), 0) + 1 from %I), false)', sequence, each.attname, whole);
        execute format('alter table %I alter column %I set default nextval(%L)', whole, each.attname, sequence);
    end loop;
    execute format('drop table %I', whole || '_whole');
    foreach statement in array remake loop
        execute statement;
    end loop;
end
$$;

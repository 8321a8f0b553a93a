-- Points end by their lots' dates alone; what tills and apps are told follows the day without anything being burnt.

-- The centre's day, UTC: turned with the rights' tending, empty before that was ever done.
create table business_day (id integer primary key check (id = 1), day text not null);
insert into business_day values (1, '');

create or replace view account_told as
select c.card, a.account_id, a.tier, a.segments,
       a.posted - a.held - coalesce((
           select sum(l.available) from lot l
           where l.account_id = a.account_id and l.available > 0 and l.expires_on <> ''
             and l.expires_on <= (select day from business_day where id = 1)), 0)::bigint as points,
       a.held, a.blocked, a.version,
       a.personal_offers, a.purchases, a.in_birthday_window, n.counter_names, n.counter_values, n.counter_uses
from account a join card c using (account_id) cross join lateral (
    select array_agg(name order by name) as counter_names, array_agg(value order by name) as counter_values,
           array_agg(used_at || ' store ' || used_store order by name) as counter_uses
    from account_counter where account_id = a.account_id) n;

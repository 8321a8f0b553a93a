-- Look-ups in tables of their own: whose a right is, by its number or its receipt; an account's cards beside the account.
-- With them every statement of a purchase knows the account, so that accounts can be spread over machines (docs/growth.md).

-- `key` is the right's number, and for what is authorised for one receipt also 'sale:' with the receipt's key. Numbers of
-- rights are unique here, where the key decides which machine has the row, and need not be where the account decides.
create table right_place (
    key text not null,
    grant_id text not null,
    account_id bigint not null,
    till_id bigint not null,
    primary key (key, grant_id)
);
-- 0029 fills it with the rights from before: from here on the trigger keeps every new one, so that none is missed.

-- For merges, and for the release before this one, which does not write it by itself.
create function keep_right_place() returns trigger language plpgsql as $$
begin
    -- Not an update alone: of a right from before, a row may be on its way.
    insert into right_place (key, grant_id, account_id, till_id)
    select key, new.grant_id, new.account_id, new.till_id
    from unnest(array[new.grant_id, 'sale:' || new.sale_key]) as k (key) where key <> 'sale:'
    on conflict (key, grant_id) do update set account_id = excluded.account_id
    where right_place.account_id <> excluded.account_id;
    return null;
end
$$;
-- Cards change seldom, and no purchase changes one: while they are copied nobody loads or moves any. The reference to the
-- account comes in 0029: here it would keep everybody from changing accounts as long as that takes.
lock table card in share row exclusive mode;
create table account_card (
    account_id bigint not null,
    card bytea not null,
    primary key (account_id, card)
);
insert into account_card (account_id, card) select account_id, card from card;

create function keep_account_card() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        delete from account_card where account_id = old.account_id and card = old.card;
    end if;
    if tg_op <> 'DELETE' then
        insert into account_card (account_id, card) values (new.account_id, new.card) on conflict do nothing;
    end if;
    return null;
end
$$;
create trigger card_of_account after insert or delete or update of account_id on card
    for each row execute function keep_account_card();

create or replace view account_told as
select c.card, a.account_id, a.tier, a.segments,
       a.posted - a.held - coalesce((
           select sum(l.available) from lot l
           where l.account_id = a.account_id and l.available > 0 and l.expires_on <> ''
             and l.expires_on <= (select day from business_day where id = 1)), 0)::bigint as points,
       a.held, a.blocked, a.version,
       a.personal_offers, a.purchases, a.in_birthday_window, n.counter_names, n.counter_values, n.counter_uses
from account a join account_card c using (account_id) cross join lateral (
    select array_agg(name order by name) as counter_names, array_agg(value order by name) as counter_values,
           array_agg(used_at || ' store ' || used_store order by name) as counter_uses
    from account_counter where account_id = a.account_id) n;

-- What is done in another way where accounts are spread (central/database/spreading.sql).

-- Locks accounts in their order.
create function lock_accounts(wanted bigint[]) returns table (
    account_id bigint, posted bigint, held bigint, debt bigint, home_store text, merged_into bigint) language sql as $$
    select a.account_id, a.posted, a.held, a.debt, a.home_store, a.merged_into from account a
    where a.account_id = any(wanted) order by a.account_id for update
$$;

-- Call it before rights of tills change, with what leaves them: a trigger counts that here, so this keeps the order alone
-- in which tills are locked.
create function count_till_rights(of_tills bigint[], leaving bigint[]) returns void language plpgsql
    security definer set search_path from current as $$
begin
    perform from till_rights where till_id = any(of_tills) order by till_id for update;
end
$$;

-- Last, because it keeps others from changing rights until this file is done.
create trigger right_grant_placed after insert or update of account_id on right_grant
    for each row execute function keep_right_place();

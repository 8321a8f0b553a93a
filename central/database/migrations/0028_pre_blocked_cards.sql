-- Every card of a blocked account, for tills whose store does not keep the account (central/tills/blocked_cards.py).
-- One row a card and programme, at its latest change; `version` rises with it. The row of blocked_state is locked until
-- commit, so that versions become visible in their order and a till that has read up to one has read all before it. Blocks
-- are rare.
create table blocked_state (id int primary key check (id = 1), version bigint not null);
insert into blocked_state (id, version) values (1, 0);

create table blocked_card (
    card bytea not null,
    programme text not null,
    is_blocked boolean not null,
    version bigint not null unique,
    primary key (card, programme)
);
create index blocked_card_of_programme on blocked_card (programme, version);

create function note_blocked_card(of_card bytea, of_programme text, now_blocked boolean) returns void
language plpgsql as $$
declare
    number bigint;
begin
    if now_blocked is not distinct from coalesce(
        (select b.is_blocked from blocked_card b where b.card = of_card and b.programme = of_programme), false) then
        return;
    end if;
    update blocked_state set version = version + 1 where id = 1 returning version into number;
    insert into blocked_card (card, programme, is_blocked, version) values (of_card, of_programme, now_blocked, number)
    on conflict (card, programme) do update set is_blocked = excluded.is_blocked, version = excluded.version;
end
$$;

create function note_blocked_account() returns trigger language plpgsql as $$
begin
    perform note_blocked_card(c.card, c.programme, new.blocked) from card c
    where c.account_id = new.account_id order by c.card;
    return null;
end
$$;
create trigger account_cards_blocked after update of blocked on account
    for each row when (new.blocked <> old.blocked) execute function note_blocked_account();

create function note_card_of_account() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        perform note_blocked_card(old.card, old.programme, false);
    else
        perform note_blocked_card(
            new.card, new.programme, (select a.blocked from account a where a.account_id = new.account_id));
    end if;
    return null;
end
$$;
create trigger card_of_blocked_account after insert or delete or update of account_id on card
    for each row execute function note_card_of_account();

-- Those blocked before this list.
do $$
begin
    perform note_blocked_card(c.card, c.programme, true) from card c join account a using (account_id)
    where a.blocked order by c.card;
end
$$;

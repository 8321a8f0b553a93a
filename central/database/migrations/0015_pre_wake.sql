-- Who is to hear at once (central/tills/listening.py): a till whose grant is asked back, the stores that keep an account
-- that was blocked, the tills of a store whose roster changed. Rare, all of it: notifying takes a lock at commit.
create function wake_till() returns trigger language plpgsql as $$
begin
    perform pg_notify('tillside_wake', 'till:' || new.till_id);
    return null;
end
$$;
create trigger right_grant_recalled after update of recalled on right_grant
    for each row when (new.recalled and not old.recalled and new.outstanding > 0) execute function wake_till();
create trigger counter_grant_recalled after update of recalled on counter_grant
    for each row when (new.recalled and not old.recalled and new.outstanding > 0) execute function wake_till();

-- What another till of the store was given of a grant is asked back with it.
create function wake_receivers() returns trigger language plpgsql as $$
begin
    perform pg_notify('tillside_wake', 'till:' || t.to_till) from right_transfer t
    where t.account_id = new.account_id and t.grant_id = new.grant_id and t.points > t.spent + t.came_home;
    return null;
end
$$;
create trigger right_grant_recalled_onward after update of recalled on right_grant
    for each row when (new.recalled and not old.recalled) execute function wake_receivers();

create function wake_stores_of_account() returns trigger language plpgsql as $$
begin
    perform pg_notify('tillside_wake', 'store:' || s.store_id) from store_interest s where s.account_id = new.account_id;
    return null;
end
$$;
create trigger account_blocked after update of blocked on account
    for each row when (new.blocked <> old.blocked) execute function wake_stores_of_account();

create function wake_store_of_till() returns trigger language plpgsql as $$
begin
    perform pg_notify('tillside_wake', 'store:' || new.store_id);
    return null;
end
$$;
create trigger till_told_to_others after update of revoked, bus_address on till
    for each row when (new.revoked <> old.revoked or new.bus_address <> old.bus_address)
    execute function wake_store_of_till();

create function wake_for_rules() returns trigger language plpgsql as $$
begin
    perform pg_notify('tillside_wake', 'rules');
    return null;
end
$$;
create trigger bundle_published after insert on bundle for each statement execute function wake_for_rules();

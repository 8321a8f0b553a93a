-- Merging writes rights anew at the other account: what tills hold is counted down for those that are taken out. Where
-- accounts are spread statements count it, and there are no triggers (docs/growth.md).
create function keep_till_rights_of_gone() returns trigger language plpgsql as $$
begin
    update till_rights set outstanding = outstanding - old.outstanding where till_id = old.till_id;
    return null;
end
$$;
do $$
begin
    if not exists (select from setting where name = 'spread_tables') then
        create trigger right_grant_gone after delete on right_grant
            for each row when (old.purpose = 'grant' and old.outstanding > 0) execute function keep_till_rights_of_gone();
    end if;
end
$$;

-- Whether accounts are spread over machines: whoever asks may not read the settings, where secrets are.
create function is_spread() returns boolean language sql stable security definer set search_path from current
    as 'select exists (select from setting where name = ''spread_tables'')';

-- Locks those of accounts, or of rights, that nobody else works on; where accounts are spread one statement each.
create function lock_free_accounts(wanted bigint[]) returns setof bigint language sql as $$
    select a.account_id from account a where a.account_id = any(wanted) order by a.account_id for update skip locked
$$;
create function lock_free_rights(of_accounts bigint[], wanted text[]) returns table (account_id bigint, grant_id text)
language sql as $$
    select g.account_id, g.grant_id
    from unnest(of_accounts, wanted) as w (account_id, grant_id) join right_grant g using (account_id, grant_id)
    where g.account_id = any(of_accounts) for update of g skip locked
$$;

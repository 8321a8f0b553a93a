-- Who may only add to the ledger still has to keep others from adding while a day is sealed; locking a table against writers
-- asks for the right to change its rows, which nobody is given.
create function keep_ledger_still() returns void language sql security definer set search_path from current as $$
    lock table ledger_entry in share mode
$$;
revoke all on function keep_ledger_still() from public;

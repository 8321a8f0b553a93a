-- Who is to hear at once, told by statements: where accounts are spread no trigger does it (migration 0015 has those of one
-- database; the same word said twice in a transaction is heard once).

-- name: receivers
-- Tills that were given some of a right by the one that holds it.
select to_till from right_transfer
where account_id = $1 and grant_id = any($2::text[]) and points > spent + came_home;

-- name: stores_keeping
select store_id from store_interest where account_id = $1 order by store_id;

-- name: wake
select pg_notify('tillside_wake', whom) from unnest($1::text[]) as w (whom);

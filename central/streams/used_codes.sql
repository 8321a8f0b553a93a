-- One-time codes that named customers of posted receipts.

-- name: used
-- Asked under the accounts' locks.
select account_id, step, sale_key from used_code where account_id = any($1::bigint[]) and step = any($2::bigint[]);

-- name: use
insert into used_code (account_id, step, sale_key, posted_at_ms)
select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[]);

-- name: note_twice
insert into code_twice (account_id, step, sale_key, first_sale_key, till_id, posted_at_ms)
select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]);

-- name: forget
delete from used_code where posted_at_ms < $1;

-- name: forget_twice
delete from code_twice where posted_at_ms < $1;

-- name: twice
-- The newest first.
select account_id, step, sale_key, first_sale_key, till_id, posted_at_ms from code_twice
where $1::bigint is null or account_id = $1 order by posted_at_ms desc, sale_key limit $2;

-- Records that wait for something which may have come already.

-- name: waited_for
-- The next of them, each once.
select distinct parked_for from inbox where parked_for > $1 order by parked_for limit $2;

-- name: cards
select card, programme from card where card = any($1::bytea[]);

-- name: transfers
select transfer_id from right_transfer where transfer_id = any($1::text[]) and points > 0;

-- name: receipts
select sale_key from receipt where sale_key = any($1::text[]);

-- name: unpark
update inbox set parked_for = null where parked_for = any($1::text[]);

-- name: unpark_given_up
-- And returns of receipts that were.
update inbox set parked_for = null where parked_for = any($1::text[])
  and (arrival in (select arrival from given_up) or parked_for in (select 'sale:' || key from given_up where kind = 'sale'));

-- Rows of one account become another's: taken out and written anew, because accounts are what tables are spread by
-- (docs/growth.md). Whole rows, whatever columns they have. Both accounts are locked.

-- name: tills_of_rights
select array_agg(distinct till_id order by till_id) from right_grant
where account_id = $1 and ($2::text[] is null or grant_id = any($2)) and purpose = 'grant' and outstanding > 0;

-- name: ask_back
-- What tills hold goes with the account, and comes home.
update right_grant set recalled = true
where account_id = $1 and ($2::text[] is null or grant_id = any($2))
    and purpose = 'grant' and outstanding > 0 and not recalled
returning grant_id, till_id;

-- name: take_lots
with taken as (delete from lot where account_id = $1 and ($3::bigint[] is null or lot_id = any($3)) returning *)
select coalesce(jsonb_agg(to_jsonb(t) || jsonb_build_object('account_id', $2::bigint)), '[]')::text from taken t;

-- name: put_lots
-- Parts of one lot that an undone merge had left on both sides become one again.
insert into lot overriding system value select * from jsonb_populate_recordset(null::lot, $1::text::jsonb)
on conflict (account_id, lot_id) do update set issued = lot.issued + excluded.issued,
    available = lot.available + excluded.available, held = lot.held + excluded.held,
    redeemed = lot.redeemed + excluded.redeemed, taken_back = lot.taken_back + excluded.taken_back;

-- name: lot_without
-- What goes of a lot when a part that is held and a part that is redeemed stay.
select jsonb_build_array(to_jsonb(l) || jsonb_build_object('account_id', $2::bigint,
    'issued', l.issued - $4::bigint - $5::bigint, 'held', l.held - $4, 'redeemed', l.redeemed - $5))::text
from lot l where l.account_id = $1 and l.lot_id = $3;

-- name: keep_of_lot
update lot set issued = $3::bigint + $4::bigint, available = 0, held = $3, redeemed = $4, taken_back = 0
where account_id = $1 and lot_id = $2;

-- name: take_rights
with taken as (delete from right_grant where account_id = $1 and ($3::text[] is null or grant_id = any($3)) returning *)
select coalesce(jsonb_agg(to_jsonb(t) || jsonb_build_object('account_id', $2::bigint)), '[]')::text from taken t;

-- name: put_rights
insert into right_grant select * from jsonb_populate_recordset(null::right_grant, $1::text::jsonb);

-- name: take_right_lots
with taken as (delete from right_grant_lot where account_id = $1 and ($3::text[] is null or grant_id = any($3)) returning *)
select coalesce(jsonb_agg(to_jsonb(t) || jsonb_build_object('account_id', $2::bigint)), '[]')::text from taken t;

-- name: put_right_lots
insert into right_grant_lot select * from jsonb_populate_recordset(null::right_grant_lot, $1::text::jsonb);

-- name: take_transfers
with taken as (delete from right_transfer where account_id = $1 and ($3::text[] is null or grant_id = any($3)) returning *)
select coalesce(jsonb_agg(to_jsonb(t) || jsonb_build_object('account_id', $2::bigint)), '[]')::text from taken t;

-- name: put_transfers
insert into right_transfer select * from jsonb_populate_recordset(null::right_transfer, $1::text::jsonb);

-- name: take_redemptions
with taken as (delete from redemption_lot where account_id = $1 and ($3::text[] is null or sale_key = any($3)) returning *)
select coalesce(jsonb_agg(to_jsonb(t) || jsonb_build_object('account_id', $2::bigint)), '[]')::text from taken t;

-- name: put_redemptions
insert into redemption_lot select * from jsonb_populate_recordset(null::redemption_lot, $1::text::jsonb);

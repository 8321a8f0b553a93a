-- Points given or taken by a person.

-- name: lock_person
-- One adjustment of a person at a time: the day's sum must not be outrun.
select pg_advisory_xact_lock(hashtextextended('adjusts:' || $1, 0));

-- name: made
select account_id, points, code, person from adjustment where adjustment_key = $1;

-- name: reason
select code, title, points_max, days from adjustment_reason where code = $1;

-- name: reasons
select code, title, points_max, days from adjustment_reason order by code;

-- name: put_reason
insert into adjustment_reason (code, title, points_max, days) values ($1, $2, $3, $4)
on conflict (code) do update set title = excluded.title, points_max = excluded.points_max, days = excluded.days;

-- name: limits
select role, points_per_day from adjustment_limit order by role;

-- name: put_limit
insert into adjustment_limit (role, points_per_day) values ($1, $2)
on conflict (role) do update set points_per_day = excluded.points_per_day;

-- name: limit_of
select max(points_per_day) from adjustment_limit where role = any($1::text[]);

-- name: moved_today
select coalesce(sum(abs(points)), 0)::bigint from adjustment where person = $1 and day = $2;

-- name: insert
insert into adjustment (adjustment_key, account_id, points, code, note, person, day, at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8);

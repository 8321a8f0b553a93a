-- What was spent from grants and risk budget since the last HELLO, and the most that may be; until a cap is told
-- points_max is 2^62.
create table offline_limit (
    id integer primary key check (id = 1),
    points_max integer not null check (points_max >= 0),
    points_spent integer not null check (points_spent >= 0)
) strict;
insert into offline_limit values (1, 4611686018427387904, 0);

-- Receipts of an account paid out of the risk budget since the last HELLO.
create table risk_use (
    account_id integer primary key,
    receipts integer not null check (receipts > 0)
) strict;

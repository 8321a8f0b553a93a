-- Grants of shared counters: handed out, used, taken home, given up.

-- name: hold_session
-- Keeps a HELLO from ending the session until this transaction is over.
select true from till where till_id = $1 and session = $2 and not revoked for share;

-- name: open_counter
-- Locks the counter. A limit that was lowered stops further hand-out alone: what was given stays given.
insert into shared_counter (name, most, ends_on) values ($1, $2, $3)
on conflict (name) do update set most = greatest(excluded.most, shared_counter.given)
returning given, overdrawn, last_used;

-- name: holds_points_of
select exists(
    select 1 from right_grant where account_id = $1 and till_id = $2 and incarnation = $3
        and purpose = 'grant' and outstanding > 0);

-- name: tills_of_store
select count(*) from till where store_id = $1 and not revoked;

-- name: tills
select count(*) from till where not revoked;

-- name: held_by_till
select coalesce(sum(outstanding), 0)::bigint from counter_grant
where counter = $1 and till_id = $2 and incarnation = $3 and outstanding > 0;

-- name: held
select coalesce(sum(outstanding), 0)::bigint from counter_grant where counter = $1 and outstanding > 0;

-- name: undelivered
-- Grants of this session the till does not have yet; it says itself what it has and has not recorded here.
select body, outstanding from counter_grant
where counter = $1 and till_id = $2 and incarnation = $3 and session = $4 and outstanding > 0 and not received
  and grant_id <> all($5::text[])
order by issued_at_ms, grant_id;

-- name: insert_grant
insert into counter_grant (
    grant_id, counter, till_id, incarnation, session, amount, outstanding, body, issued_at_ms)
values ($1, $2, $3, $4, $5, $6, $6, $7, $8);

-- name: give
update shared_counter set given = given + $2 where name = $1;

-- name: recall_others
-- A few, those heard of last: they are likely to hear of it. Rows that a sale is using are left alone.
update counter_grant set recalled = true where grant_id in (
    select g.grant_id from counter_grant g join till t using (till_id)
    where g.counter = $1 and g.outstanding > 0 and not g.recalled and g.till_id <> $2
    order by t.last_seen_ms desc, g.outstanding desc, g.grant_id limit $3 for update of g skip locked);

-- name: recalled_of_till
select grant_id from counter_grant
where till_id = $1 and incarnation = $2 and outstanding > 0 and recalled and received order by grant_id limit 500;

-- name: never_received
-- Grants of earlier sessions the till has not recorded: it can never accept them any more (rule R2). One statement,
-- so one snapshot: this is the live session, and all its stream held at HELLO is here and applied.
select g.grant_id from counter_grant g
where g.till_id = $1 and g.incarnation = $2 and g.session <> $3 and g.outstanding > 0 and not g.received
  and exists (
      select 1 from till t join till_stream s using (till_id)
      where t.till_id = $1 and t.session = $3 and s.incarnation = $2 and s.last_seq >= t.session_seq)
  and not exists (
      select 1 from inbox i
      where i.till_id = $1 and i.incarnation = $2 and not i.branch and not i.applied and i.parked_for is null)
order by g.grant_id;

-- name: mark_received
update counter_grant set received = true where grant_id = $1 and till_id = $2 and incarnation = $3;

-- name: take_home
update counter_grant g set outstanding = g.outstanding - least(g.outstanding, $4::bigint),
    returned = g.returned + least(g.outstanding, $4::bigint)
from (
    select grant_id, outstanding from counter_grant
    where grant_id = $1 and till_id = $2 and incarnation = $3 for update
) before
where g.grant_id = before.grant_id returning g.counter, least(before.outstanding, $4::bigint) as taken;

-- name: close_unreceived
update counter_grant g set outstanding = 0, returned = g.returned + g.outstanding
from (
    select grant_id, outstanding from counter_grant
    where grant_id = $1 and not received and outstanding > 0 for update
) before
where g.grant_id = before.grant_id returning g.counter, before.outstanding as taken;

-- name: come_home
update shared_counter set given = given - $2 where name = $1;

-- name: take_back
-- What stood there with no right behind it goes first.
update shared_counter set overdrawn = overdrawn - least(overdrawn, $2::bigint),
    given = given - least(given, $2 - least(overdrawn, $2)),
    taken_back = taken_back + least(given, $2 - least(overdrawn, $2))
where name = $1;

-- name: held_by
select g.grant_id, g.counter, g.outstanding, g.issued_at_ms from counter_grant g
where g.till_id = $1 and g.outstanding > 0 and ($2 = '' or g.counter = $2) order by g.counter, g.grant_id;

-- name: release
update counter_grant g set outstanding = 0, released = g.released + g.outstanding
from (select grant_id, outstanding from counter_grant where grant_id = $1 and outstanding > 0 for update) before
where g.grant_id = before.grant_id returning g.counter, before.outstanding as taken;

-- name: states
-- Those whose period is not over, and those of which more was given than there was; what single customers are given only
-- of one account ($4), or where it was exceeded.
select s.name, s.most, s.handed_out, s.used, s.overdrawn, s.excess, s.ends_on,
    coalesce((
        select sum(g.outstanding) from counter_grant g join till t using (till_id)
        where g.counter = s.name and g.outstanding > 0 and (t.revoked or t.last_seen_ms < $2
            or t.session_incarnation <> g.incarnation)), 0)::bigint as silent
from shared_counter_state s
where s.excess > 0 and $4 = 0 or (s.ends_on = '' or s.ends_on >= $1)
    and case when $4 = 0 then s.name not like 'account.%' else s.name ~ ('^account\.[a-z]+\.' || $4::bigint || ':') end
order by s.name limit $3;

-- Settled grants and counters that are over

-- name: sweep_grants
-- Nothing more can come of a settled grant; what was used of it is kept with its counter.
with gone as (
    delete from counter_grant where ctid = any(array(
        select ctid from counter_grant where outstanding = 0 and issued_at_ms < $1
        order by issued_at_ms limit $2 for update skip locked))
    returning counter, used
), kept as (
    update shared_counter c set swept_used = c.swept_used + g.used
    from (select counter, sum(used)::bigint as used from gone group by counter) g where c.name = g.counter
)
select count(*) from gone;

-- name: sweep_counters
delete from shared_counter where name = any(array(
    select c.name from shared_counter c
    where c.ends_on <> '' and c.ends_on < $1 and (c.overdrawn = 0 or c.ends_on < $2)
      and not exists (select from counter_grant g where g.counter = c.name)
    order by c.ends_on limit $3 for update skip locked));

-- name: used_of
-- What was handed out and not used yet is there, with some till or on its way.
select s.name, s.last_used, s.given + s.overdrawn - coalesce((
    select sum(g.outstanding) from counter_grant g where g.counter = s.name and g.outstanding > 0), 0)::bigint as used
from shared_counter s where s.name = any($1::text[]);

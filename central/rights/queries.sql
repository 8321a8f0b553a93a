-- Grants and authorisations hold points: available -> held on issue, held -> redeemed or available on return.

-- name: insert_grant
insert into right_grant (account_id, grant_id, purpose, till_id, incarnation, session, sale_key, points, outstanding,
    received, not_after_ms, body, issued_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12);

-- name: place_right
-- Where the right is found by its number, and by the receipt it is for.
insert into right_place (key, grant_id, account_id, till_id)
select key, $2, $1, $4 from unnest(case when $3::text = '' then array[$2::text] else array[$2::text, 'sale:' || $3] end) as k (key)
on conflict do nothing;

-- name: count_till_rights
select count_till_rights($1::bigint[], $2::bigint[]);

-- name: insert_grant_lots
insert into right_grant_lot (account_id, grant_id, lot_id, points)
select $1, $2, lot_id, points from unnest($3::bigint[], $4::bigint[]) as p (lot_id, points);

-- name: find_grant
-- `exposure` is what late records of it free: kept back by the pool, or given up and lost to it.
select account_id, grant_id, purpose, till_id, incarnation, sale_key, outstanding,
    exposure + given_up - found as exposure, state
from right_grant where grant_id = $1;

-- name: grant_lots
select lot_id, points from right_grant_lot where account_id = $1 and grant_id = $2 and points > 0 order by lot_id;

-- name: take_from_grant
-- A frozen right that is used or returned in part stays frozen until its till is heard of.
update right_grant set outstanding = outstanding - $3, state = case when outstanding = $3 then $4 else state end
where account_id = $1 and grant_id = $2 returning case when purpose = 'grant' then till_id end;

-- name: take_from_grant_lots
update right_grant_lot l set points = l.points - p.points from unnest($3::bigint[], $4::bigint[]) as p (lot_id, points)
where l.account_id = $1 and l.grant_id = $2 and l.lot_id = p.lot_id;

-- name: mark_received
update right_grant set received = true where grant_id = $1 and till_id = $2 and incarnation = $3;

-- name: bodies_of_sale
select body, outstanding from right_grant
where sale_key = $1 and till_id = $2 and incarnation = $3 and account_id = $4 and outstanding > 0 order by grant_id;

-- name: held_by_others
select coalesce(sum(outstanding), 0)::bigint from right_grant
where account_id = $1 and purpose = 'grant' and outstanding > 0 and not (till_id = $2 and incarnation = $3);

-- name: holders_heard
-- Whether one of them may be there to give it back.
select exists(
    select 1 from right_grant g join till t using (till_id)
    where g.account_id = $1 and g.purpose = 'grant' and g.outstanding > 0 and g.recalled
      and not (g.till_id = $2 and g.incarnation = $3)
      and t.session_incarnation = g.incarnation and t.last_seen_ms > $4 and not t.revoked);

-- name: recall
update right_grant set recalled = true
where account_id = $1 and purpose = 'grant' and outstanding > 0 and not recalled
    and not (till_id = $2 and incarnation = $3)
returning grant_id, till_id;

-- name: recalled_of_till
select grant_id from right_grant
where till_id = $1 and incarnation = $2 and outstanding > 0 and recalled and received order by grant_id limit 500;

-- name: undelivered
select body from right_grant
where till_id = $1 and incarnation = $2 and session = $3 and outstanding > 0 and not received and purpose = 'grant'
order by issued_at_ms, grant_id limit $4;

-- name: never_received
-- Grants of earlier sessions the till has not recorded: it can never accept them any more (rule R2). One statement,
-- so one snapshot: this is the live session, and all its stream held at HELLO is here and applied.
select g.account_id, g.grant_id from right_grant g
where g.till_id = $1 and g.incarnation = $2 and g.session <> $3 and (g.outstanding > 0 or g.exposure > 0 or g.given_up > g.found)
  and not g.received and g.purpose = 'grant' and g.ask_number is null
  and exists (
      select 1 from till t join till_stream s using (till_id)
      where t.till_id = $1 and t.session = $3 and s.incarnation = $2 and s.last_seq >= t.session_seq)
  and not exists (
      select 1 from inbox i
      where i.till_id = $1 and i.incarnation = $2 and not i.branch and not i.applied and i.parked_for is null)
order by g.account_id, g.grant_id;

-- name: still_unreceived
select exists(
    select 1 from right_grant
    where account_id = $1 and grant_id = $2 and (outstanding > 0 or exposure > 0 or given_up > found)
      and not received);

-- name: hold_session
-- Keeps a HELLO from ending the session until this transaction is over.
select true from till where till_id = $1 and session = $2 and not revoked for share;

-- name: lock_sale_key
-- Orders whatever settles a receipt and whatever is authorised for it.
select pg_advisory_xact_lock(hashtextextended($1, 0));

-- name: open_of_account_at
select coalesce(sum(outstanding), 0)::bigint from right_grant
where account_id = $1 and till_id = $2 and incarnation = $3 and purpose = 'grant' and outstanding > 0;

-- name: vaults
-- In the order of their places in the store: who takes another's place has its share.
select till_id from till where store_id = $1 and is_vault and not revoked order by length(slot), slot, till_id;

-- name: wish
insert into grant_wish (till_id, account_id) values ($1, $2) on conflict do nothing;

-- name: wishes
-- While another till may still spend points of the account, they are waited for: an account is never split.
select w.account_id from grant_wish w
where w.till_id = $1 and not exists (
    select 1 from right_grant g
    where g.account_id = w.account_id and g.state = 'open' and g.purpose = 'grant' and g.till_id <> $1)
order by w.account_id limit $2;

-- name: wishes_elsewhere
-- Wishes at tills of a store that are not the vault which has the account now; $2: its vaults in their order.
select account_id from grant_wish
where till_id in (select till_id from till where store_id = $1)
  and till_id is distinct from ($2::bigint[])[1 + account_id % nullif(cardinality($2::bigint[]), 0)]
order by account_id limit $3;

-- name: share_to_wish_for
-- Of a vault's share of its store's customers those that have points and nothing of them set aside.
select a.account_id from account a
where a.home_store = $1 and a.account_id % $2::bigint = $3 and a.posted > a.held and not exists (
    select 1 from right_grant g where g.account_id = a.account_id and g.outstanding > 0 and g.purpose = 'grant')
order by a.account_id limit $4;

-- name: drop_wish
-- Only where no other till may still spend points of the account; the account's lock is held.
delete from grant_wish where till_id = $1 and account_id = $2 and not exists (
    select 1 from right_grant g
    where g.account_id = $2 and g.state = 'open' and g.purpose = 'grant' and g.till_id <> $1)
returning true;

-- name: fund_pool
update risk_pool set funded = funded + $1, free = free + $1 where id = 1
returning funded, free, budgets, exposures, losses;

-- name: set_bounds
-- What the till may hold and spend between two HELLOs; a lower cap waits for what it holds above it. Returns how much
-- more it may hold.
insert into till_rights (till_id, outstanding_max, offline_points_max) values ($1, $2, $3)
on conflict (till_id) do update set outstanding_max = greatest(excluded.outstanding_max, till_rights.outstanding),
    offline_points_max = excluded.offline_points_max
returning outstanding_max - outstanding;

-- name: begin_cycle
insert into stream_cycle (till_id, incarnation, from_seq) values ($1, $2, $3) on conflict do nothing;

-- name: forget_cycles
-- Records of older cycles were handed in long ago.
delete from stream_cycle where till_id = $1 and incarnation = $2 and from_seq < (
    select min(from_seq) from (
        select from_seq from stream_cycle where till_id = $1 and incarnation = $2 order by from_seq desc limit $3) kept);

-- name: day_is_over
select day < $1 from business_day where id = 1;

-- name: turn_day
update business_day set day = $1 where id = 1 and day < $1;

-- Rights whose till is not heard of

-- name: to_freeze
-- Past its end, and its till was not heard of since, or for long ($2); or all that is left was given to tills of which
-- that is so.
select g.account_id, g.grant_id from right_grant g join till t using (till_id)
left join (right_transfer x join till r on r.till_id = x.to_till)
    on x.account_id = g.account_id and x.grant_id = g.grant_id and x.points > x.spent + x.came_home
    and (r.revoked or r.last_seen_ms <= greatest(g.not_after_ms, $2) or r.session_incarnation <> x.to_incarnation)
where g.outstanding > 0 and g.state = 'open' and g.not_after_ms < $1
group by g.account_id, g.grant_id, g.outstanding, g.not_after_ms, g.incarnation, t.last_seen_ms, t.session_incarnation
having t.last_seen_ms <= greatest(g.not_after_ms, $2) or t.session_incarnation <> g.incarnation
    or g.outstanding <= coalesce(sum(x.points - x.spent - x.came_home), 0)
order by g.not_after_ms limit $3;

-- name: to_freeze_of_revoked
select g.account_id, g.grant_id from till t join right_grant g using (till_id)
where t.revoked and g.outstanding > 0 and g.state = 'open' order by g.not_after_ms limit $1;

-- name: to_thaw
select g.account_id, g.grant_id from right_grant g join till t using (till_id)
left join (right_transfer x join till r on r.till_id = x.to_till)
    on x.account_id = g.account_id and x.grant_id = g.grant_id and x.points > x.spent + x.came_home
    and (r.revoked or r.last_seen_ms <= greatest(g.not_after_ms, $1) or r.session_incarnation <> x.to_incarnation)
where g.outstanding > 0 and g.state = 'frozen'
    and t.last_seen_ms > greatest(g.not_after_ms, $1) and not t.revoked and t.session_incarnation = g.incarnation
group by g.account_id, g.grant_id, g.outstanding, g.not_after_ms
having g.outstanding > coalesce(sum(x.points - x.spent - x.came_home), 0)
order by g.not_after_ms limit $2;

-- name: lock_free_rights
select account_id, grant_id from lock_free_rights($1::bigint[], $2::text[]);

-- name: turn_rights
update right_grant r set state = $4
from unnest($1::bigint[], $2::text[]) as w (account_id, grant_id)
where r.account_id = any($1) and r.account_id = w.account_id and r.grant_id = w.grant_id
  and r.state = $3 and r.outstanding > 0;

-- name: due_for_write_off
select account_id, grant_id from right_grant
where outstanding > 0 and state = 'frozen' and not_after_ms < $1 order by not_after_ms, grant_id limit $2;

-- name: held_by_till
select g.account_id, g.grant_id, g.purpose, g.outstanding, g.state, g.not_after_ms from right_grant g
where g.till_id = $1 and g.outstanding > 0 and (cardinality($2::text[]) = 0 or g.grant_id = any($2))
order by g.not_after_ms, g.grant_id;

-- name: reserve_exposure
-- All of it or nothing.
update risk_pool set free = free - $1, exposures = exposures + $1 where id = 1 and free >= $1 returning true;

-- name: write_off
update right_grant set written_off = $3, exposure = $3, written_off_at_ms = $4, state = 'written_off'
where account_id = $1 and grant_id = $2 and outstanding = 0;

-- name: take_exposure
-- Of an exposure that was given up it is only noted: the pool gets it back by and by (`settle_found`).
update right_grant r set exposure = r.exposure - least(g.exposure, $3),
    found = r.found + least(g.given_up - g.found, $3 - least(g.exposure, $3)),
    state = case when g.exposure + g.given_up - g.found <= $3 then 'late_settled' else r.state end
from (select exposure, given_up, found from right_grant where account_id = $1 and grant_id = $2 for update) g
where r.account_id = $1 and r.grant_id = $2 and (r.exposure > 0 or r.given_up > r.found)
returning least(g.exposure, $3::bigint);

-- name: free_exposure
update risk_pool set free = free + $1, exposures = exposures - $1 where id = 1;

-- name: till_heard
select last_seen_ms from till where till_id = $1;

-- Exposures nobody comes back for

-- name: exposures_of_till
select account_id, grant_id, exposure, written_off_at_ms from right_grant
where till_id = $1 and exposure > 0 and (cardinality($2::text[]) = 0 or grant_id = any($2))
order by written_off_at_ms, grant_id;

-- name: exposure_of
select exposure from right_grant where account_id = $1 and grant_id = $2;

-- name: give_up_exposure
update right_grant set given_up = given_up + exposure, exposure = 0, state = 'given_up'
where account_id = $1 and grant_id = $2;

-- name: lose_exposure
update risk_pool set exposures = exposures - $1, losses = losses + $1 where id = 1;

-- name: found_rights
select account_id, grant_id from right_grant where found > recovered order by account_id, grant_id limit $1;

-- name: recover_found
update right_grant r set recovered = r.found from (
    select found - recovered as points from right_grant where account_id = $1 and grant_id = $2 for update) g
where r.account_id = $1 and r.grant_id = $2 and g.points > 0 returning g.points;

-- name: cover_uncovered
-- What the pool could not pay before it pays now, as far as it can.
update risk_pool set free = free - least(free, uncovered), losses = losses + least(free, uncovered),
    uncovered = uncovered - least(free, uncovered) where id = 1 and uncovered > 0 and free > 0;

-- Suspected clones

-- name: suspect
insert into stream_suspicion (till_id, incarnation, reason, rights_points, offline_points_max, detected_at_ms)
select s.till_id, s.incarnation, $3, least(r.outstanding_max, coalesce((
        select sum(g.points) from right_grant g
        where g.till_id = s.till_id and g.incarnation = s.incarnation and g.purpose = 'grant'), 0)::bigint)
        + least(s.risk_points_max, s.risk_points_total),
    r.offline_points_max, $4
from till_stream s left join till_rights r using (till_id) where s.till_id = $1 and s.incarnation = $2
on conflict (till_id, incarnation) do update set cleared_at_ms = null, cleared_why = '',
    detected_at_ms = excluded.detected_at_ms, rights_points = excluded.rights_points;

-- name: clear_old_suspicions
update stream_suspicion set cleared_at_ms = $2, cleared_why = 'nothing of it can be spent any more'
where cleared_at_ms is null and detected_at_ms < $1;

-- name: clear_suspicions
update stream_suspicion set cleared_at_ms = $2, cleared_why = 'by an operator'
where till_id = $1 and cleared_at_ms is null;

-- name: lock_past
-- Whoever refers to the till goes on meanwhile: posting holds its streams, and its wishes look at the till.
-- The last stream this one goes on from in which its till ever spoke, and the newest in which it did; numbers, 0 = none.
select t.quarantined_at_ms is not null as is_quarantined, coalesce((
        select max(s.incarnation_number) from till_stream s
        where s.till_id = t.till_id and s.incarnation = any($2::bytea[]) and s.greeted), 0) as previous_number, coalesce((
        select max(s.incarnation_number) from till_stream s where s.till_id = t.till_id and s.greeted), 0) as newest_number
from till t where t.till_id = $1 for no key update;

-- name: note_greeting
update till_stream set greeted = true, is_beside = $3 where till_id = $1 and incarnation = $2 and not greeted
returning is_beside;

-- name: quarantine
-- Where so many streams were begun beside each other since a moment, and since somebody looked.
update till t set quarantined_at_ms = $2 where t.till_id = $1 and t.quarantined_at_ms is null and $4 <= (
    select count(*) from till_stream s
    where s.till_id = t.till_id and s.is_beside and s.opened_at_ms > greatest(t.copies_cleared_at_ms, $3))
returning true;

-- name: lift_quarantine
-- What was begun until now was looked at.
with before as (select quarantined_at_ms is not null as was from till where till_id = $1 for update)
update till set quarantined_at_ms = null, copies_cleared_at_ms = $2 from before where till_id = $1 returning was;

-- The exposure meter

-- name: exposure
-- What tills hold in grants is counted by till; sums of rights are of few, each with its index.
select (select json_object_agg(cause, points) from exposure) as causes, p.funded, p.free, p.budgets, p.exposures, p.losses,
    p.uncovered,
    ((select coalesce(sum(outstanding), 0) from till_rights)
        + (select coalesce(sum(outstanding), 0) from right_grant where purpose = 'authorisation' and outstanding > 0))::bigint
        as held,
    (select coalesce(sum(outstanding), 0)::bigint from right_grant where outstanding > 0 and state = 'frozen') as frozen,
    (select count(*) from stream_suspicion where cleared_at_ms is null) as clones,
    (select count(*) from shared_counter where given + overdrawn > most and overdrawn > 0) as counters_exceeded
from risk_pool p where p.id = 1;

-- Where an account is at home

-- name: add_visit
insert into account_visit (account_id, store_id, weight, last_day)
values ($1, $2, $4::integer * power(2::double precision, $3::integer / 60.0), $3)
on conflict (account_id, store_id) do update
    set weight = account_visit.weight + excluded.weight, last_day = greatest(account_visit.last_day, excluded.last_day);

-- name: home_by_visits
select store_id from account_visit where account_id = $1 order by weight desc, (store_id = $2) desc, store_id limit 1;

-- name: set_home
update account set home_store = $2, version = version + 1 where account_id = $1;

-- name: keep_interest
insert into store_interest (store_id, account_id, named) values ($1, $2, $3)
on conflict (store_id, account_id) do update set named = store_interest.named or excluded.named;

-- name: recall_elsewhere
-- Asks back what other tills hold of an account.
update right_grant set recalled = true
where account_id = $1 and outstanding > 0 and purpose = 'grant' and not recalled and till_id is distinct from $2
returning grant_id, till_id;

-- name: drop_wishes_elsewhere
delete from grant_wish where account_id = $1 and till_id is distinct from $2;

-- name: set_blocked
update account set blocked = $2, version = version + 1 where account_id = $1;

-- name: lock_plan
select account_id, looked_at, round_before from plan_cursor where id = 1 for update skip locked;

-- name: accounts_to_plan
select account_id from account where account_id > $1 order by account_id limit $2;

-- name: move_plan
update plan_cursor set account_id = $1, looked_at = $2, round_before = $3 where id = 1;

-- name: misplaced
-- Of a range of accounts those of which a till holds points that is not the vault their home store has for them.
select distinct g.account_id from right_grant g join account a using (account_id)
left join (
    select store_id, array_agg(till_id order by length(slot), slot, till_id) as tills from till
    where is_vault and not revoked group by store_id) v on v.store_id = a.home_store
where a.account_id > $1 and a.account_id <= $2 and g.outstanding > 0 and g.purpose = 'grant' and not g.recalled
  and g.till_id is distinct from v.tills[1 + a.account_id % cardinality(v.tills)]
order by g.account_id;

-- name: unplaced
-- Of a range of accounts those seen since a day that have so many points and nothing of them set aside, or wished for at
-- a vault.
select a.account_id from account a
where a.account_id > $1 and a.account_id <= $2 and a.posted >= a.held + $6 and not a.blocked
  and exists (select 1 from account_visit v where v.account_id = a.account_id and v.last_day >= $3)
  and a.home_store in (select store_id from till where is_vault and not revoked)
  and $6 <= (
      select coalesce(sum(l.available), 0) from lot l where l.account_id = a.account_id and l.restriction = ''
      and l.active_from <= $4 and (l.expires_on = '' or l.expires_on > $5))
  and not exists (
      select 1 from grant_wish w where w.account_id = a.account_id
      and w.till_id in (select till_id from till where is_vault and not revoked))
  and not exists (
      select 1 from right_grant g
      where g.account_id = a.account_id and g.purpose = 'grant' and g.outstanding > 0 and g.state = 'open')
order by a.account_id;

-- name: forget_interests
-- A store forgets whom it has not seen for long, unless it is their home or they named it.
delete from store_interest i using account a
where a.account_id = i.account_id and i.account_id > $1 and i.account_id <= $2
  and not i.named and i.store_id <> a.home_store
  and not exists (
      select 1 from account_visit v
      where v.account_id = i.account_id and v.store_id = i.store_id and v.last_day >= $3);

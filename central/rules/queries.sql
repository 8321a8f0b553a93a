-- name: newest
-- The rules of a programme's tills that are in no ring: the newest release for all of them that stands.
-- A newer release that was halted or withdrawn takes its content with it (central.rules.ways).
select b.hash, b.version from rule_release r join bundle b on b.hash = r.bundle
where r.state = 'open' and b.programme = $1 and exists (select from rule_ring g where g.release = r.version and g.kind = 'everywhere')
    and not exists (select from rule_release w where w.bundle = r.bundle and w.version > r.version and w.state <> 'open')
order by r.version desc limit 1;

-- name: content
select content_zstd from bundle where hash = $1;

-- name: content_of_base
select content_zstd from bundle where base_hash = $1 limit 1;

-- name: programme_of_bundle
select programme from bundle where hash = $1;

-- name: insert_bundle
insert into bundle (hash, version, manifest, content_zstd, offers, published_at_ms, base_hash, programme)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict do nothing;

-- Drafts

-- name: lock_drafts
select pg_advisory_xact_lock(hashtextextended('rule_draft:' || $1, 0));

-- name: insert_draft
insert into rule_draft (name, version, author_id, base, hash, offers, content_zstd, note, made_at_ms)
select $1, coalesce((select max(version) from rule_draft where name = $1), 0) + 1, $2,
       coalesce((select r.bundle from rule_release r join bundle b on b.hash = r.bundle
                 where r.state = 'open' and b.programme = $8
                   and exists (select from rule_ring g where g.release = r.version and g.kind = 'everywhere')
                   and not exists (select from rule_release w where w.bundle = r.bundle and w.version > r.version and w.state <> 'open')
                 order by r.version desc limit 1), ''),
       $3, $4, $5, $6, $7
returning version;

-- name: draft
select d.*, p.name as author, q.name as approver,
       array(select r.version from rule_release r where r.draft = d.name and r.draft_version = d.version
             order by r.version) as releases
from rule_draft d join person p on p.person_id = d.author_id
left join rule_approval a on a.name = d.name and a.version = d.version
left join person q on q.person_id = a.approver_id
where d.name = $1 and ($2 = 0 or d.version = $2) order by d.version desc limit 1;

-- name: drafts
select d.name, d.version, d.base, d.hash, d.offers, d.note, d.made_at_ms, p.name as author, q.name as approver,
       array(select r.version from rule_release r where r.draft = d.name and r.draft_version = d.version
             order by r.version) as releases
from rule_draft d join person p on p.person_id = d.author_id
left join rule_approval a on a.name = d.name and a.version = d.version
left join person q on q.person_id = a.approver_id
order by d.name, d.version desc;

-- name: insert_approval
insert into rule_approval (name, version, author_id, hash, approver_id, approved_at_ms)
select name, version, author_id, hash, $3, $4 from rule_draft where name = $1 and version = $2
on conflict (name, version) do nothing returning version;

-- Releases

-- name: lock_releases
select pg_advisory_xact_lock(hashtextextended('rule_release', 0));

-- name: version_used
select coalesce(max(version), 0) from (
    select max(version) as version from rule_release union all select max(version) from rule_manifest
    union all select max(version) from bundle) used;

-- name: insert_release
insert into rule_release (version, bundle, kind, draft, draft_version, activate_at, guards, published_by,
                          published_at_ms, changed_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9);

-- name: insert_manifest
insert into rule_manifest (generation, version, bundle, release, manifest) values ($1, $2, $3, $4, $5);

-- name: insert_ring
insert into rule_ring (release, kind, names, basis_points, added_by, added_at_ms) values ($1, $2, $3, $4, $5, $6);

-- name: delete_rings
delete from rule_ring where release = $1;

-- name: release
select r.*, b.offers, b.programme, b.manifest, p.name as author, q.name as approver
from rule_release r join bundle b on b.hash = r.bundle
left join rule_draft d on d.name = r.draft and d.version = r.draft_version
left join person p on p.person_id = d.author_id
left join rule_approval a on a.name = r.draft and a.version = r.draft_version
left join person q on q.person_id = a.approver_id
where r.version = $1;

-- name: releases
select r.*, b.offers, b.programme, p.name as author, q.name as approver
from rule_release r join bundle b on b.hash = r.bundle
left join rule_draft d on d.name = r.draft and d.version = r.draft_version
left join person p on p.person_id = d.author_id
left join rule_approval a on a.name = r.draft and a.version = r.draft_version
left join person q on q.person_id = a.approver_id
order by r.version desc;

-- name: release_states
select r.version, r.bundle, r.state, r.activate_at, b.programme
from rule_release r join bundle b on b.hash = r.bundle order by r.version desc;

-- name: rings
select release, kind, names, basis_points, added_by, added_at_ms from rule_ring order by ring_id;

-- name: change_state
update rule_release set state = $2, why = $3, changed_at_ms = $4 where version = $1 and state = any($5) returning version;

-- name: manifests
select generation, version, bundle, release, manifest from rule_manifest where bundle = any($1)
order by generation, version;

-- name: manifest_of_bundle
select manifest from rule_manifest where bundle = $1 order by generation desc, version desc limit 1;

-- name: pins
select p.scope, p.name, p.release, p.pinned_by, p.pinned_at_ms, r.bundle
from rule_pin p join rule_release r on r.version = p.release order by p.scope, p.name;

-- name: put_pin
insert into rule_pin (scope, name, release, pinned_by, pinned_at_ms) values ($1, $2, $3, $4, $5)
on conflict (scope, name) do update
set release = excluded.release, pinned_by = excluded.pinned_by, pinned_at_ms = excluded.pinned_at_ms;

-- name: delete_pin
with gone as (
    delete from rule_pin where scope = $1 and name = $2 returning scope, name, release
), noted as (
    insert into rule_pin_over (scope, name, over_at_ms) select scope, name, $3 from gone
    on conflict (scope, name) do update set over_at_ms = excluded.over_at_ms
)
select release from gone;

-- name: stores_by_name
select store_id as name, programme from store where store_id = any($1);

-- name: regions_by_name
-- One row each: of this programme where any of its stores is.
select region as name, case when bool_or(programme = $2) then $2 else min(programme) end as programme from store
where region = any($1) group by region;

-- name: some_stores
select store_id from store where programme = $3 order by md5(store_id || $1) limit $2;

-- name: programme_of_till
select s.programme from till t join store s using (store_id) where t.till_id = $1;

-- name: tills_by_number
select t.till_id as name, s.programme from till t join store s using (store_id) where t.till_id = any($1::bigint[]);

-- name: change_number
select number from rule_change;

-- name: root
select document from rule_root order by version desc limit 1;

-- name: roots
select version, document, installed_at_ms from rule_root order by version;

-- name: insert_root
insert into rule_root (version, document, installed_at_ms) values ($1, $2, $3);

-- name: insert_delta
insert into bundle_delta (bundle, base, content) values ($1, $2, $3) on conflict do nothing;

-- name: deltas
select bundle, base, content from bundle_delta where bundle = any($1);

-- name: delta
select content from bundle_delta where bundle = $1 and base = $2;

-- name: bundles_in_use
-- What tills have now, by how many have it: what deltas are worth making from.
select t.bundle, count(*) as tills from till t join bundle b on b.hash = t.bundle
where not t.revoked and b.programme = $2 group by t.bundle order by tills desc limit $1;

-- name: holders
select bundle, count(*) as tills from till where not revoked group by bundle;

-- name: tell_rules
insert into till_rules as r (till_id, generation, version, bundle, refused, why, calculated, slow, dropped, told_at_ms,
                             bundle_since_ms, refused_since_ms, report)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10, $11)
on conflict (till_id) do update set generation = excluded.generation, version = excluded.version, bundle = excluded.bundle,
    refused = excluded.refused, why = excluded.why, calculated = excluded.calculated, slow = excluded.slow,
    dropped = excluded.dropped, told_at_ms = excluded.told_at_ms, told_generation = 0, told_version = 0, told_bundle = '',
    bundle_since_ms = case when r.bundle = excluded.bundle and r.bundle_since_ms > 0 then r.bundle_since_ms
                           else excluded.told_at_ms end,
    refused_since_ms = case when r.refused = excluded.refused and r.refused_since_ms > 0 then r.refused_since_ms
                            else excluded.told_at_ms end,
    report = excluded.report
where excluded.report = 0 or excluded.report > r.report;

-- name: tills_that_took
-- Tills that said since $3 that they had taken one of these manifests last, and what was active there then.
select t.till_id, t.generation, t.version, t.bundle
from unnest($1::bigint[], $2::bigint[]) as m (generation, version) join till_rules t using (generation, version)
where t.told_at_ms >= $3;

-- name: note_told
update till_rules r set told_generation = v.generation, told_version = v.version, told_bundle = v.bundle
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) as v (till_id, generation, version, bundle)
where r.till_id = v.till_id;

-- name: bundle_names
select hash as bundle, '' as base from bundle union all select bundle, base from bundle_delta order by bundle, base;

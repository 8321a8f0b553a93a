-- Rules from a draft to every till, the people who move them there, and who did what (design: centre 3).

create table person (
    person_id bigint generated always as identity primary key,
    name text not null unique check (name ~ '^[a-z0-9][a-z0-9._@-]*$'),
    roles text[] not null default '{}',
    token_hash bytea not null unique,
    disabled boolean not null default false,
    made_at_ms bigint not null
);

-- Every write by a person, for ever; `detail` is JSON.
create table audit (
    audit_id bigint generated always as identity primary key,
    at_ms bigint not null,
    person text not null,
    action text not null,
    subject text not null,
    detail text not null default '{}'
);
create index audit_by_subject on audit (subject, audit_id);
create trigger audit_append_only before update or delete or truncate on audit
    for each statement execute function refuse_change();

-- A draft is a whole rule document; each saving is a version of its own and never changes. `base` is the bundle it was made from.
create table rule_draft (
    name text not null check (name ~ '^[a-z0-9][a-z0-9._-]*$'),
    version bigint not null check (version > 0),
    author_id bigint not null references person,
    base text not null default '',
    hash text not null,
    offers bigint not null,
    content_zstd bytea not null,
    note text not null default '',
    made_at_ms bigint not null,
    primary key (name, version),
    unique (name, version, author_id, hash)
);
create trigger rule_draft_append_only before update or delete or truncate on rule_draft
    for each statement execute function refuse_change();

-- Nobody approves what he wrote: author and content are the draft's own, by key.
create table rule_approval (
    name text not null,
    version bigint not null,
    author_id bigint not null,
    hash text not null,
    approver_id bigint not null references person,
    approved_at_ms bigint not null,
    primary key (name, version),
    foreign key (name, version, author_id, hash) references rule_draft (name, version, author_id, hash),
    check (approver_id <> author_id)
);

-- A release names content for tills; its version rises over all releases and all manifests signed with them.
create table rule_release (
    version bigint primary key check (version > 0),
    bundle text not null references bundle,
    kind text not null check (kind in ('trial', 'draft', 'again')),
    draft text,
    draft_version bigint,
    activate_at text not null default '',
    state text not null default 'open' check (state in ('open', 'halted', 'withdrawn')),
    why text not null default '',
    guards text not null default '{}',
    published_by text not null,
    published_at_ms bigint not null,
    changed_at_ms bigint not null,
    foreign key (draft, draft_version) references rule_approval (name, version),
    check ((kind = 'draft') = (draft is not null and draft_version is not null))
);

-- What was signed beforehand with a release: each names content under a version of its own, so that tills can be sent from the
-- release to what was before, and back, while the key lies in its drawer.
create table rule_manifest (
    generation bigint not null,
    version bigint not null,
    bundle text not null references bundle,
    release bigint not null references rule_release,
    manifest bytea not null,
    primary key (generation, version)
);

create table rule_ring (
    ring_id bigint generated always as identity primary key,
    release bigint not null references rule_release,
    kind text not null check (kind in ('tills', 'stores', 'share', 'regions', 'everywhere')),
    names text[] not null default '{}',
    basis_points integer not null default 0 check (basis_points between 0 and 10000),
    added_by text not null,
    added_at_ms bigint not null
);
create index rule_ring_by_release on rule_ring (release);

create table rule_pin (
    scope text not null check (scope in ('till', 'store')),
    name text not null,
    release bigint not null references rule_release,
    pinned_by text not null,
    pinned_at_ms bigint not null,
    primary key (scope, name)
);

-- From the bytes of one bundle to those of another.
create table bundle_delta (
    bundle text not null references bundle,
    base text not null references bundle,
    content bytea not null,
    primary key (bundle, base)
);

-- Documents that say which keys may sign releases, each signed by the keys of the one before.
create table rule_root (
    version bigint primary key check (version > 0),
    document bytea not null,
    installed_at_ms bigint not null
);

-- What tills say of their rules.
create table till_rules (
    till_id bigint primary key references till,
    version bigint not null default 0,
    bundle text not null default '',
    refused text not null default '',
    why text not null default '',
    calculated bigint not null default 0,
    slow bigint not null default 0,
    dropped bigint not null default 0,
    told_at_ms bigint not null
);
create index till_rules_refused on till_rules (refused) where refused <> '';

-- Receipts by bundle, for the guards; `bucket_ms` is when the centre posted them, in steps of ten seconds.
create table rule_count (
    bundle text not null,
    bucket_ms bigint not null,
    receipts bigint not null,
    gross_minor bigint not null,
    discount_minor bigint not null,
    unequal bigint not null,
    in_debt bigint not null,
    primary key (bundle, bucket_ms)
);

-- Rises with whatever decides which rules a till gets, so that a process that keeps it in memory knows when to read anew.
create table rule_change (id integer primary key check (id = 1), number bigint not null);
insert into rule_change (id, number) values (1, 1);
create function note_rule_change() returns trigger language plpgsql as $$
begin
    update rule_change set number = number + 1 where id = 1;
    perform pg_notify('tillside_wake', 'rules');
    return null;
end
$$;
create trigger rule_release_changed after insert or update or delete on rule_release
    for each statement execute function note_rule_change();
create trigger rule_ring_changed after insert or update or delete on rule_ring
    for each statement execute function note_rule_change();
create trigger rule_pin_changed after insert or update or delete on rule_pin
    for each statement execute function note_rule_change();
create trigger rule_root_changed after insert on rule_root
    for each statement execute function note_rule_change();
create trigger bundle_delta_changed after insert on bundle_delta
    for each statement execute function note_rule_change();

-- What was published before there were rings was published everywhere.
insert into rule_release (version, bundle, kind, published_by, published_at_ms, changed_at_ms)
    select version, hash, 'trial', '', published_at_ms, published_at_ms from bundle;
insert into rule_manifest (generation, version, bundle, release, manifest)
    select 0, version, hash, version, manifest from bundle;
insert into rule_ring (release, kind, added_by, added_at_ms)
    select version, 'everywhere', '', published_at_ms from bundle order by version;

-- Hash of the base rules that tills derive from a bundle when they have heard of nothing newer for too long.
alter table bundle add column base_hash text not null default '';
create index bundle_by_base on bundle (base_hash) where base_hash <> '';

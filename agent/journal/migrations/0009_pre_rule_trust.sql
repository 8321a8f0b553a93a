-- Which rules this till may take: the root document it trusts, and the manifest it took last. Written after all was checked,
-- never back; the cache, which holds the rules themselves, may be lost.
create table rule_trust (
    id integer primary key check (id = 1),
    root blob not null,
    generation integer not null,
    version integer not null,
    bundle text not null
) strict;

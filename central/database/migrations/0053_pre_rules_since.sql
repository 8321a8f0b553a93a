-- Since when a till has said that it has its rules, and that it refuses those it refuses: what it said before somebody resumed a
-- release is nothing new to a guard (central/rules/guarding.sql). 0 = not known, until its next HELLO.
alter table till_rules
    add column bundle_since_ms bigint not null default 0,
    add column refused_since_ms bigint not null default 0;

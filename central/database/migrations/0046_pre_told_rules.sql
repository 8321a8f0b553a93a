-- Which manifest of the rules each till took, as it said, and was told since: what of a halted release can be brought back.
-- The first comes with HELLO; being told is noted by the hundreds, so that telling costs no statement a till.
alter table till_rules
    add column generation bigint not null default 0,
    add column told_generation bigint not null default 0,
    add column told_version bigint not null default 0,
    add column told_bundle text not null default '';

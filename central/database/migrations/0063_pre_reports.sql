-- The number of the report kept last of what a till said of its rules in its session (central/rules/reports.py); 0 = a HELLO's.
alter table till_rules add column report bigint not null default 0;

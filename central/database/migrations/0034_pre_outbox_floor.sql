-- From which event on whoever counts those that wait may begin: what is published lies below (docs/growth.md, "Events").
alter table outbox_state add column floor bigint not null default 0;

-- Operations: what monitoring asks of receipts, service as customers had it, incidents people are told of by mail.

-- How the customer of a receipt was served (central/availability/service.py); empty: posted by a release that did not say.
alter table receipt add column service text not null default '';

-- Receipts by minute and service, UTC, as far as `counted_to_ms`: of what was posted later the receipts are asked.
create table service_state (id integer primary key check (id = 1), counted_to_ms bigint not null);
insert into service_state values (1, 0);

-- `hour` is hours since 1970; `minutes` holds the minutes with receipts and their counts (central/availability/packing.py).
create table service_hour (
    hour bigint not null,
    store_id text not null,
    minutes bytea not null,
    primary key (hour, store_id)
);
create table service_minute (
    minute bigint not null,
    banner text not null,
    region text not null,
    full_service bigint not null,
    offline_full bigint not null,
    degraded bigint not null,
    no_service bigint not null,
    primary key (minute, banner, region)
);

-- One incident of a kind and subject is open at a time.
create table alert_incident (
    incident_id bigint generated always as identity primary key,
    kind text not null,
    subject text not null default '',
    says text not null,
    began_ms bigint not null,
    seen_ms bigint not null,
    told_ms bigint not null,
    ended_ms bigint
);
create unique index alert_incident_open on alert_incident (kind, subject) where ended_ms is null;
create index alert_incident_latest on alert_incident (began_ms desc);

-- Mails to be sent, each until the server has taken it or it is given up.
create table alert_mail (
    mail_id bigint generated always as identity primary key,
    incident_id bigint not null references alert_incident,
    occasion text not null check (occasion in ('began', 'still', 'ended')),
    subject text not null,
    body text not null,
    made_ms bigint not null,
    attempts integer not null default 0,
    next_try_ms bigint not null,
    failure text not null default '',
    sent_ms bigint,
    given_up_ms bigint
);
create index alert_mail_to_send on alert_mail (next_try_ms) where sent_ms is null and given_up_ms is null;

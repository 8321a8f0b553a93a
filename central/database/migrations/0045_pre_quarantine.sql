-- Two machines of one till: both go on selling, each in a stream of its own, and neither is given rights until somebody has
-- looked (design: sync 4.11; central/rights/suspicion.py).
alter table till
    add column quarantined_at_ms bigint,
    add column copies_cleared_at_ms bigint not null default 0;

-- `greeted`: its till has said HELLO in it. `is_beside`: it went on from one that was over, beside the newest.
alter table till_stream
    add column greeted boolean not null default false,
    add column is_beside boolean not null default false;

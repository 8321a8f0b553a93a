-- Up to where a checked copy of this database holds a stream: tills keep what is beyond it (design: sync 4.2;
-- central/streams/durable.py). Told only where the centre's setting says that copies make records durable.
alter table till_stream
    add column durable_seq bigint not null default 0,
    add constraint till_stream_durable check (durable_seq between 0 and last_seq);

-- Roots of the blocks a sealed day's leaves are cut into (central/ledger/sealing.py): an entry is proven from its block
-- alone. A day without any was sealed by a release that kept none; they are made when somebody asks for a proof of it.
create table ledger_seal_block (
    seal_id bigint not null,
    block integer not null,
    last_entry bigint not null,
    root bytea not null,
    primary key (seal_id, block)
);
create trigger ledger_seal_block_append_only before update or delete or truncate on ledger_seal_block
    for each statement execute function refuse_change();

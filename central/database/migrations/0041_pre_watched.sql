-- concurrently
-- What monitoring asks of the tables that every receipt is written to.

create index concurrently if not exists receipt_unequal on receipt (posted_at_ms) where not equal;
create index concurrently if not exists outcome_rejected on outcome (decided_at_ms) where outcome = 'rejected_kept';

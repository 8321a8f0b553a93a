-- concurrently
-- What is frozen is looked at every minute: it alone, not all that tills hold.

create index concurrently if not exists right_grant_frozen on right_grant (not_after_ms)
    where outstanding > 0 and state = 'frozen';

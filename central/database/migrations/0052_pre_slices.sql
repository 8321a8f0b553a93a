-- concurrently
-- Processing processes share the tills among them: the next records of some slices, not of all.

create index concurrently if not exists inbox_of_slice on inbox ((till_id % 16), arrival)
    where not applied and parked_for is null;

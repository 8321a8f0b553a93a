-- Up to which account those of its programme were made due for new terms of tiers; null: all of them were, or it was done
-- at once, by the release before (central/people/tiers.py).
alter table tier_terms add column due_upto bigint;

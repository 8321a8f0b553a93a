-- A day's receipts are found for the archive by their business date (docs/backtest.md).

-- Receipts come about in the order of their moments: a few blocks hold a day, and a sale pays nothing for it.
create index receipt_by_moment on receipt using brin (moment);
-- Those whose till's clock was wrong are few.
create index receipt_by_business_moment on receipt (business_moment) where business_moment <> '';

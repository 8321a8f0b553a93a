-- concurrently
-- What the exposure meter adds up, and the customers of a store, without looking through all rights or accounts.

create index concurrently if not exists right_grant_authorised on right_grant (outstanding)
    where purpose = 'authorisation' and outstanding > 0;
create index concurrently if not exists right_grant_of_stream on right_grant (till_id, incarnation)
    where purpose = 'grant';
create index concurrently if not exists right_transfer_received on right_transfer (to_till, to_incarnation);
create index concurrently if not exists account_by_home on account (home_store, account_id);

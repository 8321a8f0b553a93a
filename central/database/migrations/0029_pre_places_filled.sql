-- Rights from before 0025. Nothing is locked meanwhile: the trigger of 0025 keeps what is new and what is merged. In the key's
-- order, so that a table larger than memory is written page by page.
insert into right_place (key, grant_id, account_id, till_id)
    select grant_id, grant_id, account_id, till_id from right_grant
    union all
    select 'sale:' || sale_key, grant_id, account_id, till_id from right_grant where sale_key <> ''
    order by 1
on conflict do nothing;

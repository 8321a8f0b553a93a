-- Posted receipts for the archive.

-- name: keys_of_day
-- Of one business date, those of a store beside each other; moments are texts that order like times.
select sale_key from receipt
where (business_moment = '' and moment >= $1 and moment < $2)
   or (business_moment <> '' and business_moment >= $1 and business_moment < $2)
order by store_id, moment, sale_key;

-- name: receipts
select r.sale_key, r.equal, i.body from receipt r join inbox i using (arrival)
where r.sale_key = any($1::text[]);

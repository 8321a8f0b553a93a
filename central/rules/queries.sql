-- name: newest
select hash, version, manifest from bundle order by version desc limit 1;

-- name: content
select content_zstd from bundle where hash = $1;

-- name: insert
insert into bundle (hash, version, manifest, content_zstd, offers, published_at_ms) values ($1, $2, $3, $4, $5, $6)
on conflict do nothing;

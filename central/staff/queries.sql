-- name: insert_person
insert into person (name, roles, token_hash, made_at_ms) values ($1, $2, $3, $4)
on conflict (name) do nothing returning person_id;

-- name: person_of_token
select person_id, name, roles from person where token_hash = $1 and not disabled;

-- name: people
select person_id, name, roles, disabled, made_at_ms from person order by name;

-- name: any_person
select exists (select from person where not disabled);

-- name: change_token
update person set token_hash = $2 where name = $1 and not disabled returning person_id;

-- name: change_roles
update person set roles = $2 where name = $1 and not disabled returning person_id;

-- name: disable
update person set disabled = true where name = $1 returning person_id;

-- name: note
insert into audit (at_ms, person, action, subject, detail) values ($1, $2, $3, $4, $5);

-- name: audit
select audit_id, at_ms, person, action, subject, detail from audit
where ($1 = '' or subject = $1) and audit_id < $2 order by audit_id desc limit $3;

-- How often somebody has tried: a user, somebody who does not exist, a calling number, a trunk. The subject is a keyed
-- hash, so the table shows neither numbers nor who is real; the kind says which limits apply.
create table lockouts (
    subject text primary key,
    kind text not null check (kind in ('user', 'caller', 'trunk')),
    streak bigint not null,
    consecutive bigint not null,
    delay_since_ms bigint,
    delay_length_ms bigint,
    last_ms bigint not null,
    generation bigint not null,
    check ((delay_since_ms is null) = (delay_length_ms is null))
);

-- For deleting what is forgotten.
create index lockouts_last on lockouts (last_ms);

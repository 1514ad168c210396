-- Evidence that was minted, so that it can be revoked: what a process holds is worth nothing without its live row.
create table evidences (
    id text primary key,
    session_id text not null references visits (id),
    user_id text not null references users (id) on delete cascade,
    attempt_id text not null,
    channel text not null,
    minted_ms bigint not null,
    expires_ms bigint not null,
    revoked_ms bigint
);

create index evidences_session on evidences (session_id);

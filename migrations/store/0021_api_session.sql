-- Sessions of clients of the web API: one caller's visit each. The token that the client shows is here as a hash only.
create table api_sessions (
    token_hash text primary key,
    visit_id text not null references visits (id),
    client text not null references api_clients (name),
    -- The network of the client's list that it signed in from, and where it must stay.
    network text not null,
    -- The certificate that it signed in with.
    certificate text,
    -- The caller's language, if the client said so.
    language text,
    -- Written now and then, not with every request.
    used_ms bigint not null
);

create index api_sessions_visit on api_sessions (visit_id);
create index api_sessions_used on api_sessions (used_ms);

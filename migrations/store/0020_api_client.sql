-- Programs that may use the web API: IVRs of the company. Their passwords are here as argon2id hashes only.
create table api_clients (
    name text primary key,
    -- Null where the client certificate alone lets it in.
    password text,
    -- SHA-256 of its certificate, in hexadecimal; null where none is asked for.
    certificate text,
    -- Networks that it may come from, separated by blanks; none means loopback.
    networks text not null,
    -- What it may beyond the calls themselves, separated by blanks.
    rights text not null,
    created_ms bigint not null,
    changed_ms bigint not null,
    revoked_ms bigint
);

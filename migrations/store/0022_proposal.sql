-- Passwords that were proposed to callers of the web API, until the visit is over. Sealed under a key that is made of a
-- pepper and the client's session token: neither is in the database.
create table proposals (
    id text primary key,
    visit_id text not null references visits (id),
    evidence_id text not null,
    -- Identifiers of the accounts that it is good for, separated by blanks.
    accounts text not null,
    -- How many earlier passwords it must differ from.
    history bigint not null,
    -- In base64, nonce first.
    sealed text not null
);

create index proposals_visit on proposals (visit_id);

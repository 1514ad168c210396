-- Credentials that Passline signs in to target systems with, sealed (`vault`): neither key nor text is here in clear.
create table credentials (
    target text primary key,
    -- Number of the key-encryption key, which is not in the database.
    key_number bigint not null,
    -- In base64, nonce first.
    data_key text not null,
    sealed text not null,
    changed_ms bigint not null
);

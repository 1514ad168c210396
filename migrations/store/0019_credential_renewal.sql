-- New credentials that Passline is giving itself on a target, sealed like those that it has (`credentials`). Committed
-- before the target is asked; when nobody knows what became of it, one of the two opens the door.
create table credential_renewals (
    target text primary key,
    key_number bigint not null,
    data_key text not null,
    sealed text not null,
    begun_ms bigint not null
);

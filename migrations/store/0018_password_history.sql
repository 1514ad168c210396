-- Passwords that Passline has set, as argon2id hashes of a keyed tag (the key is outside of this database), so that they
-- are not set again. The row is written with the intent; it goes when every system has refused the password.
create table password_history (
    reset_id text primary key references resets (id) on delete cascade,
    user_id text not null references users (id) on delete cascade,
    hash text not null,
    set_ms bigint not null
);

create index password_history_user on password_history (user_id, set_ms);

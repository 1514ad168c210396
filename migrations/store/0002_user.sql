-- People who can call.
create table users (
    id text primary key,
    -- As the directory spells it, and folded for look-up: directories do not tell cases apart.
    login text not null,
    login_key text not null constraint users_login_once unique,
    display_name text not null,
    employee_number text,
    -- Keyed hash of a second number that tells users with equal keypad forms apart, and which pepper made it.
    discriminator text,
    discriminator_pepper bigint,
    status text not null check (status in ('active', 'disabled', 'locked_by_admin')),
    language text,
    created_ms bigint not null,
    updated_ms bigint not null,
    check ((discriminator is null) = (discriminator_pepper is null))
);

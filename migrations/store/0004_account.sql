-- A user's records on the target systems, by the target's name in the configuration.
create table accounts (
    id text primary key,
    user_id text not null references users (id) on delete cascade,
    target text not null,
    name text not null,
    constraint accounts_one_owner unique (target, name)
);

create index accounts_user on accounts (user_id);

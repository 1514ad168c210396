-- The embedded directory: accounts of several named directories, each with what a real directory knows about a
-- password. `revision` grows with every change of the password, so that somebody who lost an answer can ask whether the
-- change took place.
create table directory_accounts (
    directory text not null,
    name text not null,
    password_hash text not null,
    revision bigint not null,
    changed_ms bigint not null,
    must_change bigint not null check (must_change in (0, 1)),
    failed_binds bigint not null,
    locked bigint not null check (locked in (0, 1)),
    enabled bigint not null check (enabled in (0, 1)),
    primary key (directory, name)
);

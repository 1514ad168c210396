-- The audit log: append-only, each link holds the hash of the one before. The head row serialises writers: whoever
-- moves it holds its lock until the commit, so that the chain has no forks.
create table audit_links (
    sequence bigint primary key,
    at_ms bigint not null,
    name text not null,
    -- The event's fields, exactly the bytes that are hashed. Never a secret.
    fields text not null,
    previous text not null,
    hash text not null
);

create table audit_head (
    id bigint primary key check (id = 1),
    sequence bigint not null,
    hash text not null
);

-- A row that is there from the beginning can be locked; the program knows the hash before the first link.
insert into audit_head (id, sequence, hash) values (1, 0, '');

-- Where people are loaded from, and how far each source has been read.
create table sources (
    name text primary key,
    -- Who reads it at this moment, and until when nobody else may.
    reader text,
    reader_until_ms bigint not null,
    -- What its settings were when it was read: other settings mean that everything must be read again.
    settings text,
    -- Where the next reading may begin, in words of the source; null if everything must be read.
    reached text,
    full_ms bigint,
    begun_ms bigint,
    ended_ms bigint,
    -- Why the last run failed; null if it did not.
    failure text,
    -- What the last run found, as JSON of counts.
    counts text,
    -- How many people the last run did not remove, because they were too many.
    held bigint not null,
    -- Which server of the source was read last: another one may not know yet who is new, or gone.
    server text,
    -- How many people have lost numbers or accounts in runs that were stopped because of it.
    losses bigint not null,
    -- Whether it is in the configuration no more; then it decides about nobody.
    retired bigint not null check (retired in (0, 1))
);

-- Which entry of a source is which user. A row stays when the entry is gone: who comes back is known again.
create table people (
    source text not null,
    -- What never changes about an entry: objectGUID, entryUUID, or the column that the file is sorted out by.
    entry text not null,
    -- Rising within a source, so that a run marks whom it has seen with one bit each.
    number bigint not null,
    -- How others refer to it, folded: the distinguished name, or the entry itself.
    place text not null,
    user_id text not null references users (id) on delete cascade,
    -- Whether it decides about the user's login and status, whether it could, and whether it is there.
    leads bigint not null check (leads in (0, 1)),
    may_lead bigint not null check (may_lead in (0, 1)),
    present bigint not null check (present in (0, 1)),
    -- Keyed hash of what was read, so that nothing is written about those who have not changed.
    fingerprint text not null,
    primary key (source, entry),
    constraint people_number_once unique (source, number)
);

create index people_user on people (user_id);

create index people_place on people (place);

-- What is known of a user beside what they are found by; several values of a kind stand in their order.
create table profile_values (
    user_id text not null references users (id) on delete cascade,
    kind text not null check (kind in ('phone', 'mail', 'department', 'manager', 'group')),
    nth bigint not null,
    value text not null,
    -- As it is compared: nobody means another address, department or group by writing it in capitals.
    folded text not null,
    primary key (user_id, kind, nth)
);

create index profile_values_folded on profile_values (kind, folded);

-- More numbers that a caller may key, in order, with blanks between them.
alter table users add column other_numbers text;

-- An account that its source does not list any more. The row stays: what was changed on it is told by others.
alter table accounts add column removed_ms bigint;
-- The entry that names it, if it came from a source; it goes with the entry, or when the entry names another.
alter table accounts add column source text;
alter table accounts add column entry text;

create index accounts_entry on accounts (source, entry) where source is not null;

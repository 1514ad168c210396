-- Sign-ins to the web API are counted too: by client and address, and by address alone.
create table lockouts_of_all (
    subject text primary key,
    kind text not null check (kind in ('user', 'caller', 'trunk', 'client', 'address')),
    streak bigint not null,
    consecutive bigint not null,
    delay_since_ms bigint,
    delay_length_ms bigint,
    last_ms bigint not null,
    generation bigint not null,
    check ((delay_since_ms is null) = (delay_length_ms is null))
);

insert into lockouts_of_all (subject, kind, streak, consecutive, delay_since_ms, delay_length_ms, last_ms, generation)
select subject, kind, streak, consecutive, delay_since_ms, delay_length_ms, last_ms, generation from lockouts;

drop table lockouts;
alter table lockouts_of_all rename to lockouts;
create index lockouts_last on lockouts (last_ms);

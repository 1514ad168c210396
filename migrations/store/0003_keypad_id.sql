-- What a caller may key for a user: the employee number, and the login spelled on the keypad. The primary key is the
-- index that a look-up during a call reads. Several users may share digits; no user has the same digits twice.
create table keypad_ids (
    digits text not null,
    user_id text not null references users (id) on delete cascade,
    primary key (digits, user_id)
);

create index keypad_ids_user on keypad_ids (user_id);

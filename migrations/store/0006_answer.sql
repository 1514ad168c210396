-- Enrolled answers, as argon2id hashes of a keyed tag (the key is outside of this database). Per channel: a word is
-- spelled on the keypad in one, typed in another.
create table answers (
    user_id text not null references users (id) on delete cascade,
    question_id text not null references questions (id),
    channel text not null check (channel in ('phone', 'assisted', 'self_service')),
    hash text not null,
    enrolled_ms bigint not null,
    primary key (user_id, question_id, channel)
);

-- How often each question is enrolled: what decoys are made after.
create index answers_channel on answers (channel, question_id, user_id);

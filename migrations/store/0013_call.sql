-- Call records: one row per call, written when it begins and completed when it ends. A row that never ended belongs to
-- a process that died. No keys, no answers.
create table calls (
    id text primary key,
    door text not null,
    trunk text,
    dialplan text,
    caller text,
    called text,
    visit_id text,
    user_id text,
    started_ms bigint not null,
    answered_ms bigint,
    ended_ms bigint,
    last_step text,
    end_reason text
);

create index calls_started on calls (started_ms);

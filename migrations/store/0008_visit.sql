-- Visits: one caller's way through identification, questions and changes, by whatever door. The row, and not a
-- process, holds how far they have come: the next request may reach another node. Nothing that was keyed is here.
create table visits (
    id text primary key,
    door text not null,
    state text not null,
    -- Grows with every step; who judged an answer on an older state must not write.
    version bigint not null,
    started_ms bigint not null,
    expires_ms bigint not null,
    ended_ms bigint
);

create index visits_expires on visits (expires_ms) where ended_ms is null;

-- For deleting what is long over; the audit log and the call records tell the story.
create index visits_ended on visits (ended_ms);

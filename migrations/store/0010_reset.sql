-- What was about to be changed on which system, committed before any system is touched, and what came of it. A crash
-- between the two leaves a row without `closed_ms`, which the next start resolves.
create table resets (
    id text primary key,
    kind text not null check (kind in ('reset', 'unlock')),
    user_id text not null references users (id),
    visit_id text not null,
    evidence_id text not null,
    -- A request that is repeated with the same key gets the first answer.
    idempotency_key text,
    -- Which password: the random name of the proposal. Nothing in it is derived from the password.
    proposal text,
    must_change bigint not null check (must_change in (0, 1)),
    -- The node and the process on it that carries it out, and until when nobody else may.
    node text not null,
    owner text not null,
    lease_until_ms bigint not null,
    created_ms bigint not null,
    closed_ms bigint,
    constraint resets_once unique (user_id, idempotency_key)
);

create index resets_open on resets (lease_until_ms) where closed_ms is null;

create table reset_outcomes (
    reset_id text not null references resets (id),
    account_id text not null references accounts (id),
    -- Where the account's history of passwords stood before; null where the target does not say.
    marker_before text,
    result text,
    -- How we know: the system's answer, a sign-in with the new password, a marker that moved.
    -- `pending` for an unknown outcome that will be looked at once more.
    proof text,
    decided_ms bigint,
    primary key (reset_id, account_id)
);

-- Two resets of one account at once would make the first one's answer a lie.
create unique index reset_outcomes_one_at_a_time on reset_outcomes (account_id) where decided_ms is null;

create index reset_outcomes_pending on reset_outcomes (decided_ms) where proof = 'pending';

-- Who must still be told of which audit link. Written in the transaction that wrote the link; delivered at least
-- once, some time after the commit. The key makes sure that no link is queued twice for one sink.
create table outbox (
    sink text not null,
    sequence bigint not null references audit_links (sequence),
    -- Not before this time: the next try after a failure.
    available_ms bigint not null,
    -- Who is delivering it, and until when nobody else may.
    claimed_by text,
    claimed_until_ms bigint not null,
    tries bigint not null,
    last_error text,
    delivered_ms bigint,
    -- Given up: a person must look.
    dead_ms bigint,
    primary key (sink, sequence)
);

create index outbox_due on outbox (available_ms) where delivered_ms is null and dead_ms is null;

create index outbox_delivered on outbox (delivered_ms);

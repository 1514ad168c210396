-- Whether a flow of this house leads the caller, through an outside IVR, and not the client itself with the calls of the
-- web API. Such a session is good for its pages only, on every node.
alter table api_sessions add column led_by_flow bigint not null default 0 check (led_by_flow in (0, 1));

-- Whether the new password must be changed at the next sign-in: what was found on this system, which may be able to
-- demand it or not. Null where nobody knows, and for changes from before this column.
alter table reset_outcomes add column expired bigint check (expired in (0, 1));

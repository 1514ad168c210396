-- The number of the ticket that a change was ordered under, as the client of the API named it.
alter table resets add column ticket text;

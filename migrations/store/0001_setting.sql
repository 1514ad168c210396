-- Facts about this database that must outlive the program, one per row: which pepper its hashes were made with, and
-- whatever a later version must know about an earlier one.
create table settings (
    name text primary key,
    value text not null
);

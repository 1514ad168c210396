-- Questions in other languages. What `text` is in: null where nobody has said it yet.
alter table questions add column language text;
-- What is asked in others, as a JSON object from tag to text; null in none. A column, so that a question is read by one
-- statement whoever is asked.
alter table questions add column translations text;

-- What may be asked. A shared question is the company's; a personal one is heard by its owner alone.
create table questions (
    id text primary key,
    text text not null constraint questions_text_once unique,
    -- Prompt of a recording; without one the text is synthesized.
    prompt text,
    channels text not null,
    format text not null,
    origin text not null check (origin in ('shared', 'personal'))
);

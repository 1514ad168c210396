-- How the audio of a call was, both ways: what we received, and what the far end reports (RTCP) about what we sent.
-- Empty for calls without media and for those of earlier versions. Counts and times; not even how many keys came.
alter table calls add column codec text;
alter table calls add column rtp_sent bigint;
alter table calls add column rtp_received bigint;
alter table calls add column rtp_lost bigint;
alter table calls add column rtp_jitter_us bigint;
-- The last report of the far end: loss in 1/256 since the report before, loss in all (less than none when packets came
-- twice), jitter, and the round trip, which a report tells only if it answers one of ours.
alter table calls add column remote_fraction_lost bigint;
alter table calls add column remote_lost bigint;
alter table calls add column remote_jitter_us bigint;
alter table calls add column round_trip_us bigint;

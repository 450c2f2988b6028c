-- Claims look for what is ready first; without an index every claim reads all jobs.
CREATE INDEX {p}job_ready ON {p}job (ready);

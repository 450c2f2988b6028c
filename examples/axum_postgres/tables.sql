CREATE TABLE IF NOT EXISTS crm_contact (
    tenant TEXT NOT NULL, email TEXT NOT NULL, name TEXT NOT NULL, company TEXT NOT NULL,
    PRIMARY KEY (tenant, email)
);
CREATE TABLE IF NOT EXISTS crm_activity (
    tenant TEXT NOT NULL, id TEXT NOT NULL, at TIMESTAMPTZ, author TEXT NOT NULL, subject TEXT NOT NULL, contacts TEXT[] NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE TABLE IF NOT EXISTS crm_outgoing (
    tenant TEXT NOT NULL, key TEXT NOT NULL, recipient TEXT NOT NULL, subject TEXT NOT NULL,
    written_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, key)
);
CREATE TABLE IF NOT EXISTS crm_owner (
    tenant TEXT NOT NULL, connection TEXT NOT NULL, owner TEXT NOT NULL,
    PRIMARY KEY (tenant, connection)
);
CREATE TABLE IF NOT EXISTS crm_job (
    key TEXT PRIMARY KEY, job TEXT NOT NULL, due TIMESTAMPTZ NOT NULL, again TIMESTAMPTZ
);
CREATE INDEX IF NOT EXISTS crm_job_due ON crm_job (due)

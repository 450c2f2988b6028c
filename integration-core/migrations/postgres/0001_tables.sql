-- {p} is the store's schema and table prefix, {i} the prefix alone. Times are milliseconds since 1970 of this server's
-- own clock. Keys sort by their bytes, whatever the database's collation.
CREATE TABLE {p}state (
    tenant   TEXT COLLATE "C" NOT NULL,
    space    TEXT COLLATE "C" NOT NULL,
    key      TEXT COLLATE "C" NOT NULL,
    -- The whole key where `key` is only its beginning and a hash: an index takes 2,700 bytes at most.
    full_key TEXT COLLATE "C",
    version  BIGINT NOT NULL,
    bytes    BYTEA  NOT NULL,
    PRIMARY KEY (tenant, space, key)
);

-- The highest fence that committed, per lease.
CREATE TABLE {p}fence (
    key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fence BIGINT NOT NULL
);

CREATE TABLE {p}counter (
    tenant TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    value  BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE {p}token (
    tenant   TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C" NOT NULL,
    version  BIGINT NOT NULL,
    bytes    BYTEA  NOT NULL,
    PRIMARY KEY (tenant, grant_id)
);

-- Kept after a release (holder is empty then), so that the fence goes on rising.
CREATE TABLE {p}lease (
    key     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fence   BIGINT NOT NULL,
    holder  TEXT   NOT NULL,
    expires BIGINT NOT NULL
);

-- ready: when it may be claimed (again); claimed_until: NULL while pending; again: put while claimed.
-- Rows come and go quickly: dead ones are cleared away early, or every claim steps over them.
CREATE TABLE {p}job (
    key           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body          TEXT    NOT NULL,
    due           BIGINT  NOT NULL,
    ready         BIGINT  NOT NULL,
    claimed_until BIGINT,
    fence         BIGINT  NOT NULL,
    again         BIGINT,
    cancelled     BOOLEAN NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX {i}job_ready ON {p}job (ready, key);
CREATE INDEX {i}job_cancelled ON {p}job (ready) WHERE cancelled;

-- Fences of claims: a sequence, so that no claim waits for another's commit.
CREATE SEQUENCE {p}job_fence;

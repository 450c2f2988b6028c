-- {p} is the store's table prefix. Times are milliseconds since 1970 of this database's own clock.
CREATE TABLE {p}state (
    tenant  TEXT    NOT NULL,
    space   TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    version INTEGER NOT NULL,
    bytes   BLOB    NOT NULL,
    PRIMARY KEY (tenant, space, key)
) WITHOUT ROWID;

-- The highest fence that committed, per lease.
CREATE TABLE {p}fence (
    key   TEXT    NOT NULL PRIMARY KEY,
    fence INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE {p}counter (
    tenant TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    value  INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID;

CREATE TABLE {p}token (
    tenant   TEXT    NOT NULL,
    grant_id TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    bytes    BLOB    NOT NULL,
    PRIMARY KEY (tenant, grant_id)
) WITHOUT ROWID;

-- Kept after a release (holder is empty then), so that the fence goes on rising.
CREATE TABLE {p}lease (
    key     TEXT    NOT NULL PRIMARY KEY,
    fence   INTEGER NOT NULL,
    holder  TEXT    NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;

-- ready: when it may be claimed (again); claimed_until: NULL while pending; again: put while claimed.
CREATE TABLE {p}job (
    key           TEXT    NOT NULL PRIMARY KEY,
    body          TEXT    NOT NULL,
    due           INTEGER NOT NULL,
    ready         INTEGER NOT NULL,
    claimed_until INTEGER,
    fence         INTEGER NOT NULL,
    again         INTEGER,
    cancelled     INTEGER NOT NULL
);

-- The last fence given to any claim of a job: it rises for each key even when its job is gone in between.
CREATE TABLE {p}job_fence (
    only  INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    fence INTEGER NOT NULL
);
INSERT INTO {p}job_fence (only, fence) VALUES (1, 0);

-- The same text serves SQLite and PostgreSQL. A migration that was released is never changed; a new one is added.

-- Numbers that are never given twice.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO counters (name, value) VALUES ('entry', 0), ('delay', 0);

-- One row for each value that is ours at a provider, or is about to be.
CREATE TABLE entries (
    id BIGINT PRIMARY KEY,
    provider TEXT NOT NULL,
    zone_name TEXT NOT NULL,
    -- The zone's fields, JSON.
    zone_fields TEXT NOT NULL,
    name TEXT NOT NULL,
    record_type TEXT NOT NULL,
    value TEXT NOT NULL,
    was_there BOOLEAN NOT NULL,
    -- JSON; NULL until the write was confirmed.
    handle TEXT,
    -- Milliseconds since 1970-01-01T00:00:00Z.
    created BIGINT NOT NULL,
    UNIQUE (provider, zone_name, name, record_type, value)
);

-- Who needs an entry.
CREATE TABLE holders (
    entry BIGINT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    holder TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (entry, holder)
);

CREATE INDEX holders_by_holder ON holders (holder);

-- What is known of orders from earlier.
CREATE TABLE orders (
    origin TEXT NOT NULL,
    id TEXT NOT NULL,
    generation TEXT NOT NULL,
    -- JSON list of names.
    domains TEXT NOT NULL,
    baseline_certificate TEXT,
    was_pending BOOLEAN NOT NULL,
    finished BOOLEAN NOT NULL,
    delivered TEXT,
    hook_pending BOOLEAN NOT NULL,
    PRIMARY KEY (origin, id)
);

-- Measured delays between a write and its visibility.
CREATE TABLE delays (
    id BIGINT PRIMARY KEY,
    zone_name TEXT NOT NULL,
    provider TEXT NOT NULL,
    milliseconds BIGINT NOT NULL
);

CREATE INDEX delays_by_zone ON delays (zone_name, provider);

-- What several machines need that share one PostgreSQL. SQLite has the same tables; some stay empty there.
-- Times are milliseconds since 1970-01-01T00:00:00Z by the database's clock, unless said otherwise.

-- Locks that end by themselves when nobody renews them.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    -- The run, for people who wonder.
    holder TEXT NOT NULL,
    -- Tells this taking of the lock from every other.
    token TEXT NOT NULL,
    expires BIGINT NOT NULL
);

-- Runs that have begun to write an entry's value, and have not said that they are done.
CREATE TABLE writers (
    entry BIGINT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    run TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (entry, run)
);

-- What may happen only so often, over all machines. Microseconds.
CREATE TABLE budgets (
    name TEXT PRIMARY KEY,
    next_free BIGINT NOT NULL
);

-- Orders that `watch` is to carry through.
CREATE TABLE work (
    origin TEXT NOT NULL,
    id TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- When it is tried again at the earliest.
    due BIGINT NOT NULL,
    -- Failures in a row.
    failures BIGINT NOT NULL,
    -- The last failure, for people.
    last_error TEXT,
    claimed_by TEXT,
    claimed_until BIGINT NOT NULL,
    -- When nothing was left to do for it: a list from before that moment does not bring it back.
    done BIGINT,
    PRIMARY KEY (origin, id)
);

CREATE INDEX work_by_due ON work (origin, due);

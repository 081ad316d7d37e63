-- Applications that were begun, before anything was sent: whose reply is lost is looked for, not made again.
CREATE TABLE applications (
    origin TEXT NOT NULL,
    -- What is applied for: the names, sorted.
    subject TEXT NOT NULL,
    -- How, JSON of the order source.
    way TEXT NOT NULL,
    -- The order; NULL until it is known.
    order_id TEXT,
    -- Milliseconds since 1970-01-01T00:00:00Z.
    begun BIGINT NOT NULL,
    PRIMARY KEY (origin, subject)
);

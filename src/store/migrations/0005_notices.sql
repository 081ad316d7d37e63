-- What was told of failures (`--on-failure`), so that runs and machines tell it once.
CREATE TABLE notices (
    origin TEXT NOT NULL,
    -- The order; empty: the run as a whole; `*`: that there are more.
    about TEXT NOT NULL,
    -- The kind of the failure.
    kind TEXT NOT NULL,
    -- When, in milliseconds since 1970-01-01T00:00:00Z, by the database's clock.
    told BIGINT NOT NULL,
    PRIMARY KEY (origin, about)
);

-- Clients, their API keys and their streams.
--
-- Moments are UTC in microseconds since the Unix epoch. Ids are never reused
-- (AUTOINCREMENT), since they stand in URLs that outlive a stream.

CREATE TABLE clients (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

INSERT INTO clients (id, name, created_at)
VALUES (1, 'default', CAST(unixepoch('subsec') * 1000000 AS INTEGER));

CREATE TABLE api_keys (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id   INTEGER NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    label       TEXT    NOT NULL,
    -- SHA-256 of the secret. A secret has 256 random bits, so that nobody can
    -- search for it and a slow hash would only slow every request.
    secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
    created_at  INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT;

CREATE TABLE streams (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id           INTEGER NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    name                TEXT    NOT NULL,
    active              INTEGER NOT NULL CHECK (active IN (0, 1)),
    -- Kept readable: the API shows the push URL whenever it is asked.
    token               TEXT    NOT NULL CHECK (length(token) > 0),
    -- Where the stream's time begins; every frame and segment number is
    -- counted from it, so it never changes.
    epoch               INTEGER NOT NULL,
    quality_set         TEXT,
    client_entity_data  TEXT,
    created_at          INTEGER NOT NULL,
    started_at_primary  INTEGER,
    finished_at_primary INTEGER,
    last_region         TEXT,
    source_width        INTEGER,
    source_height       INTEGER
) STRICT;

CREATE INDEX streams_of_client ON streams (client_id, id);

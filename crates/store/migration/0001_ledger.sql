-- The ledger's first shape. Times are UTC text of one width, so that they sort as text.

CREATE TABLE machines (
    id           TEXT NOT NULL PRIMARY KEY,
    owner        TEXT NOT NULL,
    name         TEXT,
    state        TEXT NOT NULL,
    open         TEXT,
    reason       TEXT,
    generation   INTEGER NOT NULL,
    create_key   TEXT,
    created_at   TEXT NOT NULL,
    started_at   TEXT,
    destroyed_at TEXT,
    spec         TEXT NOT NULL,
    stages       TEXT NOT NULL
);

-- A name is free again as soon as its machine is destroyed.
CREATE UNIQUE INDEX machines_name ON machines (owner, name) WHERE name IS NOT NULL AND state <> 'destroyed';
CREATE INDEX machines_destroyed ON machines (destroyed_at) WHERE destroyed_at IS NOT NULL;

CREATE TABLE intents (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    machine    TEXT NOT NULL,
    command    TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    back       TEXT,
    request    TEXT,
    opened_at  TEXT NOT NULL,
    outcome    TEXT,
    closed_at  TEXT
);

-- A machine has at most one open command.
CREATE UNIQUE INDEX intents_open ON intents (machine) WHERE outcome IS NULL;
CREATE INDEX intents_closed ON intents (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE steps (
    intent TEXT NOT NULL REFERENCES intents (id) ON DELETE CASCADE,
    step   TEXT NOT NULL,
    at     TEXT NOT NULL,
    PRIMARY KEY (intent, step)
);

-- Append-only; outlives the machines it tells of.
CREATE TABLE events (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      TEXT NOT NULL,
    machine TEXT NOT NULL,
    what    TEXT NOT NULL,
    state   TEXT NOT NULL,
    reason  TEXT
);

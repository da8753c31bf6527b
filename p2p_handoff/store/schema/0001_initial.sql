-- SPDX-License-Identifier: Apache-2.0
-- One home's state. Specification: docs/specs/store.md.

-- The home itself: exactly one row.
CREATE TABLE home (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    device   TEXT    NOT NULL,
    -- Grows with every change of ownership state; peers remember the highest they saw.
    counter  INTEGER NOT NULL DEFAULT 0 CHECK (counter >= 0),
    -- The highest value that a peer says it saw: more than counter means that this home was rolled back.
    floor    INTEGER NOT NULL DEFAULT 0 CHECK (floor >= 0)
) STRICT;

CREATE TABLE links (
    device          TEXT PRIMARY KEY,
    public          BLOB NOT NULL,
    name            TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('own', 'other')),
    linked_at       REAL NOT NULL,
    last_seen       REAL,
    highest_counter INTEGER NOT NULL DEFAULT 0,
    -- A tombstone when set: the device was revoked and stays known as such.
    revoked_at      REAL
) STRICT;

CREATE TABLE addresses (
    device    TEXT NOT NULL REFERENCES links (device) ON DELETE CASCADE,
    url       TEXT NOT NULL,
    last_good REAL NOT NULL,
    PRIMARY KEY (device, url)
) STRICT;

CREATE TABLE sessions (
    id         TEXT PRIMARY KEY,
    title      TEXT    NOT NULL,
    created_at REAL    NOT NULL,
    manifest   BLOB,
    chain      BLOB    NOT NULL,
    stopped    INTEGER NOT NULL DEFAULT 0 CHECK (stopped IN (0, 1)),
    role       TEXT    NOT NULL CHECK (role IN ('primary', 'frozen', 'secondary')),
    epoch      INTEGER NOT NULL CHECK (epoch >= 1),
    owner      TEXT    NOT NULL,
    frozen_txn TEXT,
    forked     INTEGER NOT NULL DEFAULT 0 CHECK (forked IN (0, 1)),
    CHECK ((role = 'frozen') = (frozen_txn IS NOT NULL)),
    CHECK (forked = 0 OR role = 'frozen')
) STRICT;

CREATE TRIGGER epochs_never_fall BEFORE UPDATE OF epoch ON sessions WHEN NEW.epoch < OLD.epoch
BEGIN
    SELECT RAISE (ABORT, 'an epoch never falls');
END;

CREATE TABLE parts (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    part    TEXT NOT NULL,
    type    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    -- Bytes as the file system has them: a path need not be UTF-8.
    path    BLOB,
    held_by TEXT,
    PRIMARY KEY (session, part)
) STRICT;

CREATE INDEX parts_by_path ON parts (path) WHERE path IS NOT NULL;

-- What this device granted. Rows stay: a txn is never used twice.
CREATE TABLE grants (
    txn      TEXT PRIMARY KEY,
    session  TEXT NOT NULL,
    target   TEXT NOT NULL,
    root     BLOB NOT NULL,
    epoch    INTEGER NOT NULL,
    signed   BLOB NOT NULL,
    manifest BLOB,
    answer   BLOB
) STRICT;

-- What this device decided as a target: once per txn, for ever.
CREATE TABLE decisions (
    txn       TEXT PRIMARY KEY,
    session   TEXT NOT NULL,
    source    TEXT NOT NULL,
    verdict   TEXT NOT NULL CHECK (verdict IN ('accepted', 'refused')),
    statement BLOB NOT NULL
) STRICT;

CREATE TRIGGER decisions_never_change BEFORE UPDATE ON decisions
BEGIN
    SELECT RAISE (ABORT, 'a decision never changes');
END;

CREATE TRIGGER decisions_never_go BEFORE DELETE ON decisions
BEGIN
    SELECT RAISE (ABORT, 'a decision never goes');
END;

-- Accepted and durable, but not yet in its visible place.
CREATE TABLE pending_commits (
    txn       TEXT NOT NULL REFERENCES decisions (txn),
    session   TEXT NOT NULL,
    part      TEXT NOT NULL,
    directory BLOB NOT NULL,
    state     BLOB NOT NULL,
    kind      TEXT NOT NULL,
    PRIMARY KEY (txn, part),
    FOREIGN KEY (session, part) REFERENCES parts (session, part)
) STRICT;

CREATE INDEX pending_commits_by_part ON pending_commits (session, part);

-- SPDX-License-Identifier: Apache-2.0
-- Forks of sessions whose target gave no answer, and how they end.
-- Specification: docs/specs/store.md §9.

-- Forks that this device made.
CREATE TABLE forks (
    fork     TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    original TEXT NOT NULL,
    -- What the fork left: the manifest as it was granted.
    manifest BLOB NOT NULL,
    made_at  REAL NOT NULL,
    -- open: the work goes on in it. rejoined: the original came back to this device. merged: its primary took it in.
    state    TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'rejoined', 'merged')),
    ended_at REAL,
    CHECK ((state = 'open') = (ended_at IS NULL))
) STRICT;

-- One at a time: a grant is forked once, and the next one only after the first fork came to its end.
CREATE UNIQUE INDEX one_open_fork ON forks (original) WHERE state = 'open';

CREATE TRIGGER an_ended_fork_stays_ended BEFORE UPDATE OF state ON forks WHEN OLD.state != 'open'
BEGIN
    SELECT RAISE (ABORT, 'an ended fork stays ended');
END;

-- Forks that this device, as primary of their original, has taken in.
CREATE TABLE merges (
    fork      TEXT NOT NULL,
    root      BLOB NOT NULL,
    original  TEXT NOT NULL,
    source    TEXT NOT NULL,
    merged_at REAL NOT NULL,
    PRIMARY KEY (fork, root)
) STRICT;

-- SPDX-License-Identifier: Apache-2.0
-- Earlier states of sessions, and changes of what lives here that are not handoffs.
-- Specification: docs/specs/store.md §8.

-- What was here before something replaced it. The contents are in generations/<session>/<part>.
CREATE TABLE generations (
    session  TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL CHECK (number >= 1),
    kept_at  REAL    NOT NULL,
    cause    TEXT    NOT NULL CHECK (cause IN ('handoff', 'undo', 'merge')),
    -- Which handoff, undo or merge replaced it.
    change   TEXT    NOT NULL,
    epoch    INTEGER NOT NULL,
    -- The parts that were here, at the roots under which they are kept; none for a first arrival.
    manifest BLOB    NOT NULL,
    PRIMARY KEY (session, number),
    UNIQUE (session, change)
) STRICT;

-- An undo or a merge, from its beginning until all of it is in place.
CREATE TABLE changes (
    id         TEXT PRIMARY KEY,
    session    TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    cause      TEXT    NOT NULL CHECK (cause IN ('undo', 'merge')),
    -- staging: nothing visible has changed, a restart forgets it. placing: decided, a restart rolls it forward.
    phase      TEXT    NOT NULL CHECK (phase IN ('staging', 'placing')),
    -- The generation that an undo brings back.
    generation INTEGER
) STRICT;

CREATE INDEX changes_by_session ON changes (session);

CREATE TABLE pending_changes (
    change    TEXT NOT NULL REFERENCES changes (id) ON DELETE CASCADE,
    session   TEXT NOT NULL,
    part      TEXT NOT NULL,
    directory BLOB NOT NULL,
    state     BLOB NOT NULL,
    kind      TEXT NOT NULL,
    PRIMARY KEY (change, part),
    FOREIGN KEY (session, part) REFERENCES parts (session, part) ON DELETE CASCADE
) STRICT;

-- SPDX-License-Identifier: Apache-2.0
-- Own devices that other own devices introduced. Specification: docs/specs/store.md §5, docs/specs/circle.md.

-- Signed statements about own devices: one per signer, kind and subject. Rows are replaced by later statements.
CREATE TABLE circle (
    signer    TEXT NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('admission', 'revocation')),
    subject   TEXT NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (signer, kind, subject)
) STRICT;

-- Which own device introduced this one; nothing where a person linked the two by code.
ALTER TABLE links ADD COLUMN introduced_by TEXT;
-- The admission to the circle by which the device was linked, 0 where it was by none.
ALTER TABLE links ADD COLUMN admission INTEGER NOT NULL DEFAULT 0 CHECK (admission >= 0);
-- Who ended the link: a person at this device, the circle, or the device itself.
ALTER TABLE links ADD COLUMN ended_by TEXT CHECK (ended_by IN ('person', 'circle', 'peer'));
UPDATE links SET ended_by = 'person' WHERE revoked_at IS NOT NULL;

-- SPDX-License-Identifier: Apache-2.0
-- When a session was granted, for people only: no rule of ownership reads a clock. Specification: docs/specs/store.md.

-- Unix seconds; unknown for grants of older versions.
ALTER TABLE grants ADD COLUMN granted_at REAL;

# SPDX-License-Identifier: Apache-2.0
"""What a session is: manifest, ownership, shared documents, safe paths. Pure."""

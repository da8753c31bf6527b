# SPDX-License-Identifier: Apache-2.0
"""Settings of all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["p2p_handoff.testing.plugin"]

# On a busy machine generating an example, or running one, may take any time: that is no fault of the code under test.
# In continuous integration the examples are the same every time: a change is judged by what it changed.
settings.register_profile(
    "project",
    deadline=None,
    print_blob=True,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")

# No test, and nothing that one starts, puts anything into the keyring of whoever runs it.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"

# A shell's background job, and whatever it starts, ignores the interrupts that some tests send to real commands.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

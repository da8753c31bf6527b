# SPDX-License-Identifier: Apache-2.0
"""``handoff``: the command line. Layer: cli. Specification: docs/cli.md.

Every command is one call to an agent. Errors are one sentence on standard error (one JSON object on standard
output with ``--json``) and the documented exit code.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from p2p_handoff.cli import options
from p2p_handoff.cli.command_table import CommandTable, Entry
from p2p_handoff.errors import ExitCode, HandoffError

TABLE: Final = {
    "link": Entry("link_commands", "Link with another device, once."),
    "peers": Entry("link_commands", "List devices that are linked or in sight."),
    "to": Entry("handoff_commands", "Hand a session over to another device."),
    "take": Entry("handoff_commands", "Fetch a session from your own device that has it."),
    "requests": Entry("handoff_commands", "List requests that wait for your answer."),
    "accept": Entry("handoff_commands", "Accept a request and wait until the session is here, or there."),
    "reject": Entry("handoff_commands", "Reject a request."),
    "start": Entry("session_commands", "Make a session of folders and .jsonl conversations."),
    "sessions": Entry("session_commands", "List the sessions on this device."),
    "stop": Entry("session_commands", "Take a session off the list; its files stay where they are."),
    "history": Entry("session_commands", "Show who had a session when, and what undo can bring back."),
    "undo": Entry("session_commands", "Bring a session back as it was before a handoff."),
    "recover": Entry("session_commands", "Show handoffs in doubt, and wait for their answer."),
    "send": Entry("handoff_commands", "Copy folders and conversations to whoever types the code."),
    "receive": Entry("handoff_commands", "Receive what 'handoff send' offers."),
    "status": Entry("status_commands", "Tell what this device is doing, and what waits."),
    "events": Entry("session_commands", "Show what happens, until Ctrl-C."),
    "whoami": Entry("link_commands", "Show this device's name, its id, and its key in words."),
    "unlink": Entry("link_commands", "Trust a device no longer, at once. Your own devices tell each other."),
    "rename": Entry("link_commands", "Call a linked device by another name on this device."),
    "config": Entry("config_commands", "Show the settings, or change them."),
    "agent": Entry("agent_commands", "Run this device's agent, look at it, or stop it."),
}

_WIDEST: Final = 100
"""Characters of a line of help."""


@click.group(
    cls=CommandTable,
    table=TABLE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDEST},
)
@click.version_option(package_name="p2p-handoff", prog_name="handoff")
@options.home
def cli(home: Path | None) -> None:
    """Pick up a live session on another device exactly where you left it.

    \b
    First time, on one device:      handoff link
    on the other device:            handoff link CODE
    then, standing in a folder:     handoff to NAME
    """  # noqa: D301 - the backslash is click's mark for lines kept as they are


def main() -> None:
    """Run the command line and exit."""
    as_json = "--json" in sys.argv[1:]
    try:
        code = cli.main(standalone_mode=False, terminal_width=_width())
    except click.exceptions.Abort:
        code = _fail("cancelled", ExitCode.CANCELLED, as_json=as_json)
    except click.ClickException as error:
        code = _usage(error, as_json=as_json)
    except HandoffError as error:
        code = _fail(error.sentence, error.exit_code, as_json=as_json, code=error.code)
    except BrokenPipeError:
        code = ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - a person gets a sentence, never a traceback
        what = f"something unexpected happened ({type(error).__name__}: {error}); please report it."
        code = _fail(what, ExitCode.UNEXPECTED, as_json=as_json, code="unexpected")
    sys.exit(int(code or 0))


def _width() -> int:
    """Characters of a line of help, as click would have it; it imports shutil for that, and compression with it."""
    try:
        columns = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(sys.stdout.fileno()).columns
    except (AttributeError, ValueError, OSError):
        columns = 80
    return max(min(columns or 80, _WIDEST) - 2, 50)


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    message = error.format_message().rstrip(".?").replace("? ", ", ").replace(". ", "; ")
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(message, err=True)
        return ExitCode.USAGE
    context = error.ctx if isinstance(error, click.UsageError) else None
    help_of = f"; see '{context.command_path} --help'" if context is not None else ""
    return _fail(f"{message[:1].lower()}{message[1:]}{help_of}.", ExitCode.USAGE, as_json=as_json, code="usage")


def _fail(sentence: str, exit_code: ExitCode, *, as_json: bool, code: str = "cancelled") -> int:
    from p2p_handoff.cli.output import print_json, say  # noqa: PLC0415 - only where it is used

    if as_json:
        print_json({"error": {"code": code, "message": sentence, "exit_code": int(exit_code)}})
    else:
        say(f"handoff: {sentence}")
    return int(exit_code)


if __name__ == "__main__":
    main()

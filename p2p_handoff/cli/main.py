# SPDX-License-Identifier: Apache-2.0
"""``handoff``: the command line. Layer: cli. Specification: docs/cli.md.

Every command is one call to an agent. Errors are one sentence on standard error (one JSON object on standard
output with ``--json``) and the documented exit code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from typing_extensions import override

from p2p_handoff.cli import agent_commands, config_commands, handoff_commands, link_commands, options, session_commands
from p2p_handoff.errors import ExitCode, HandoffError


class InOrder(click.Group):
    """Lists its commands in the order in which a person meets them."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="p2p-handoff", prog_name="handoff")
@options.home
def cli(home: Path | None) -> None:
    """Pick up a live session on another device exactly where you left it.

    \b
    First time, on one device:      handoff link
    on the other device:            handoff link CODE
    then, standing in a folder:     handoff to NAME
    """  # noqa: D301 - the backslash is click's mark for lines kept as they are


for command in (
    link_commands.link,
    link_commands.peers,
    handoff_commands.to,
    handoff_commands.take,
    handoff_commands.requests,
    handoff_commands.accept,
    handoff_commands.reject,
    session_commands.start,
    session_commands.sessions,
    session_commands.stop,
    session_commands.history,
    session_commands.undo,
    session_commands.recover,
    handoff_commands.send,
    handoff_commands.receive,
    session_commands.events,
    link_commands.whoami,
    link_commands.unlink,
    link_commands.rename,
    config_commands.config,
    agent_commands.agent,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
    as_json = "--json" in sys.argv[1:]
    try:
        code = cli.main(standalone_mode=False)
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


def _usage(error: click.ClickException, *, as_json: bool) -> int:
    message = error.format_message().rstrip(".?").replace("? ", ", ").replace(". ", "; ")
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(message, err=True)
        return ExitCode.USAGE
    context = error.ctx if isinstance(error, click.UsageError) else None
    help_of = f"; see '{context.command_path} --help'" if context is not None else ""
    return _fail(f"{message[:1].lower()}{message[1:]}{help_of}.", ExitCode.USAGE, as_json=as_json, code="usage")


def _fail(sentence: str, exit_code: ExitCode, *, as_json: bool, code: str = "cancelled") -> int:
    if as_json:
        from p2p_handoff.cli.output import print_json  # noqa: PLC0415 - only where it is used

        print_json({"error": {"code": code, "message": sentence, "exit_code": int(exit_code)}})
    else:
        click.echo(f"handoff: {sentence}", err=True)
    return int(exit_code)


if __name__ == "__main__":
    main()

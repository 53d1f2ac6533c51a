"""
The command `tecton`: its groups, and how errors end it.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import click

from tecton.cli.access import access_control, api_key, service_account
from tecton.cli.audit import audit
from tecton.cli.basics import init, log, version, whoami
from tecton.cli.changes import apply, destroy, plan, restore
from tecton.cli.erase import delete_keys
from tecton.cli.jobs import materialize, redis
from tecton.cli.render import printable
from tecton.cli.replay import replay
from tecton.cli.scheduler import scheduler
from tecton.cli.session import Session
from tecton.cli.status import freshness, materialization_status
from tecton.cli.verify import verify_consistency
from tecton.cli.workspaces import workspace
from tecton.errors import DefinitionError, TectonError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """An open streaming feature store."""


for _command in (
    init,
    plan,
    apply,
    destroy,
    workspace,
    service_account,
    access_control,
    api_key,
    log,
    audit,
    restore,
    version,
    whoami,
    redis,
    materialize,
    materialization_status,
    freshness,
    scheduler,
    replay,
    verify_consistency,
    delete_keys,
):
    cli.add_command(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line of this process.

    Args:
        argv: The arguments; default: those of the process.

    Returns:
        The exit code: 0, or another one after one line on stderr that says what to do.
    """
    # A job that runs for us ends with us, so being told to end is an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        folder = Path.cwd()
    except OSError as exc:
        return _fail(f"the current folder is gone ({exc}); change to another one")
    session = Session(
        environ=os.environ,
        folder=folder,
        clock=lambda: datetime.now(timezone.utc),
        is_terminal=sys.stdin.isatty() and sys.stdout.isatty(),
    )
    return run(sys.argv[1:] if argv is None else argv, session)


def run(argv: Sequence[str], session: Session) -> int:
    """
    Run one command.

    Args:
        argv: The arguments after `tecton`.
        session: What the command works with.

    Returns:
        The exit code.
    """
    try:
        code = cli.main(list(argv), prog_name="tecton", standalone_mode=False, obj=session)
    except DefinitionError as exc:
        return _fail(str(exc), is_list=True)
    except TectonError as exc:
        return _fail(str(exc))
    except click.ClickException as exc:
        return _misused(exc)
    except click.Abort:
        return _fail("interrupted", 130)
    except OSError as exc:
        return _fail(str(exc))
    return code if isinstance(code, int) else 0


def _misused(exc: click.ClickException) -> int:
    # Click 8.2 and later say by an exception that a group was called without a command.
    if isinstance(exc, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        click.echo(exc.format_message())
        return exc.exit_code
    message = exc.format_message()
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        message = f"{message.rstrip('.')}; see `{exc.ctx.command_path} --help`"
    return _fail(message, exc.exit_code)


def _fail(message: str, code: int = 1, is_list: bool = False) -> int:
    lines = message.split("\n") if is_list else [" ".join(message.split())]
    click.echo("error: " + "\n".join(map(printable, lines)), err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())

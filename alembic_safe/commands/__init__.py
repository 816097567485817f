"""The command line: one click group, mounted in ``alembic`` and as ``alembic-safe``."""

from __future__ import annotations

import importlib
import shlex
import signal
import sys
import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from alembic_safe.command_names import COMMANDS
from alembic_safe.errors import EXIT_CODES, EnvNotRun, NextStep, SafeError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.config import Config

EPILOG = "Exit codes: " + " · ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES)


class _Commands(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for name, _, _ in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        return load(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; in somebody else's group, end with our exit codes there, too."""
        if ctx.parent is None:
            return super().invoke(ctx)
        try:
            code = super().invoke(ctx)
        except SafeError as error:
            from alembic_safe.reporting.text import print_error

            print_error(error)
            ctx.exit(error.exit_code)
        if isinstance(code, int) and code:
            ctx.exit(code)
        return code


def load(name: str) -> click.Command | None:
    """Return the click command of a name, with the exit codes in its help; ``None`` for an unknown name."""
    for known, module, about in COMMANDS:
        if known == name:
            command: click.Command = importlib.import_module(f"alembic_safe.commands.{module}").command
            command.name, command.short_help = name, about
            command.epilog = EPILOG
            return command
    return None


def config_of(ctx: click.Context) -> Config:
    """Return Alembic's configuration for a command: from ``alembic``, ``alembic-safe`` or Flask-Migrate."""
    from alembic.config import Config

    if isinstance(ctx.obj, Config):
        return ctx.obj
    if hasattr(ctx.obj, "load_app"):  # Flask's ScriptInfo: the command is mounted in an application's group
        app = ctx.obj.load_app()
        ctx.with_resource(app.app_context())
        migrate = app.extensions.get("migrate")
        if migrate is not None:
            found: Config = migrate.migrate.get_config(migrate.directory)
            return found
    return Config("alembic.ini", toml_file="pyproject.toml")


def run(name: str, args: Sequence[str], config: Config) -> int:
    """Run one of our commands as a subcommand of the stock ``alembic``, and return its exit code."""
    command = load(name)
    assert command is not None  # noqa: S101 - the names come from the same table
    return _finish(command, list(args), f"alembic {name}", config)


def _finish(command: click.Command, args: list[str], prog: str, config: Config | None) -> int:
    _say_what_the_terminal_cannot_show()
    raiseerr = bool(getattr(getattr(config, "cmd_opts", None), "raiseerr", False))
    if config is None:  # alembic-safe itself: its options are among the words
        raiseerr = "--raiseerr" in args
    try:
        from alembic_safe.reporting.warnings_shown import warnings_shown

        with _sigterm_as_ctrl_c(), warnings_shown():
            code = command.main(args, prog_name=prog, obj=config, standalone_mode=False)
    except click.exceptions.Abort as abort:
        # click makes one of Ctrl-C, too, and by then something may be done
        cut = isinstance(abort.__cause__ or abort.__context__, KeyboardInterrupt)
        click.echo("Interrupted. What was committed before stands." if cut else "Nothing was changed.", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SafeError as error:
        if raiseerr:
            raise
        from alembic_safe.reporting.text import print_error

        # a URL among the words may hold a password; the step that the error has leads to the same traceback
        before = _options_of(config)
        if isinstance(error, EnvNotRun) and not any("://" in word for word in [*before, *args]):
            error.next_steps = (NextStep("see the traceback", _with_traceback(prog, args, before)),)
        print_error(error)
        return error.exit_code
    except Exception as error:
        from alembic.util import CommandError

        if raiseerr:
            raise
        from alembic_safe.reporting.text import print_error

        shown = WrongUsage(str(error)) if isinstance(error, CommandError) else _unexpected(error, prog)
        print_error(shown)
        return shown.exit_code
    return code if isinstance(code, int) else 0


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Make SIGTERM end a command as Ctrl-C does: what is open is rolled back, and what must be said is said."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        del number, frame
        raise KeyboardInterrupt

    before: Any = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_what_the_terminal_cannot_show() -> None:
    """Print a name that the output's encoding lacks as an escape; a deploy does not end over a letter."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _unexpected(error: Exception, prog: str) -> SafeError:
    """Return what is said of an error that nobody foresaw: what it was, where, and how to see all of it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    return SafeError(
        f"Unexpected: {type(error).__name__}: {' '.join(str(error).split())} (at {where}).",
        next_steps=[NextStep("see the traceback, and report it", _with_traceback(prog))],
        state="What had been committed before it stands; nothing else was changed.",
    )


def _with_traceback(prog: str, args: Sequence[str] = (), before: Sequence[str] = ()) -> str:
    first, *rest = prog.split()
    return shlex.join([first, "--raiseerr", *before, *rest, *args])


def _options_of(config: Config | None) -> list[str]:
    """Return the options that were typed in front of the command: without them another environment is run."""
    given = getattr(config, "cmd_opts", None)
    words: list[str] = []
    for letter, name, default in (("-c", "config", None), ("-n", "name", "alembic"), ("-x", "x", None)):
        value = getattr(given, name, None)
        several = value if isinstance(value, (list, tuple)) else [] if value in (None, default) else [value]
        for one in several:
            words += [letter, str(one)]
    return words


@click.group(cls=_Commands, epilog=EPILOG)
@click.option("-c", "--config", "files", multiple=True, help="alembic.ini and/or pyproject.toml, as for alembic -c.")
@click.option("-n", "--name", default="alembic", show_default=True, help="Section of the ini file, as for alembic -n.")
@click.option("-x", "x", multiple=True, help="Arguments for env.py, as for alembic -x.")
@click.option("--raiseerr", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="alembic-safe")
@click.pass_context
def group(ctx: click.Context, files: tuple[str, ...], name: str, x: tuple[str, ...], raiseerr: bool) -> None:
    """Alembic on PostgreSQL for teams who deploy: the same commands as ``alembic safe-...``."""
    if ctx.parent is not None and not files:
        return  # mounted in somebody else's group, which knows its configuration: see config_of
    from argparse import Namespace

    from alembic.config import CommandLine, Config

    options = Namespace(config=list(files) or None, name=name, x=list(x) or None, raiseerr=raiseerr, quiet=False)
    toml, ini = CommandLine()._inis_from_config(options)  # noqa: SLF001 - the one reading of -c
    ctx.obj = Config(file_=ini, toml_file=toml, ini_section=name, cmd_opts=options)


def main(argv: Sequence[str] | None = None) -> Any:
    """Run the console script ``alembic-safe``."""
    sys.exit(_finish(group, list(sys.argv[1:] if argv is None else argv), "alembic-safe", None))

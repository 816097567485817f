"""The doors into Alembic's command line, migration runs and autogenerate; standard library only at import."""

# Alembic loads this module *during* `import alembic`, while most of itself is half imported. It must neither
# import anything of Alembic's, nor fail. What it hangs on Alembic is hung on later, when the module that it
# needs has been executed (after_import), and imports the rest of this package only when it is used.
from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.util
import logging
import os
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec

PLUGIN_NAME = "alembic.autogenerate.alembic_safe"

_failure: list[BaseException] = []


class _IterablePluginModule(ModuleType):
    """A module that Alembic before 1.20.1 can iterate, as its loader of entry points does there."""

    def __iter__(self) -> Iterator[ModuleType]:
        return iter((self,))


def setup(plugin: Any) -> None:
    """Hang the doors into Alembic; called by Alembic while it loads its plugins.

    :param plugin: Alembic's own :class:`alembic.runtime.plugins.Plugin` record for us.
    """
    try:
        _subtract_from_autogenerate(plugin)
        after_import("alembic.script", _watch_migration_runs)
        after_import("alembic.script", _know_what_was_squashed)
        after_import("alembic.config", _mount_commands)
        after_import("alembic.op", _register_operations)
    except Exception as error:  # noqa: BLE001 - whatever it is, `import alembic` must go on
        _report(error)


def failure() -> BaseException | None:
    """Return what kept the doors from being hung, if anything did."""
    return _failure[0] if _failure else None


def _report(error: BaseException) -> None:
    _failure.append(error)
    warnings.warn(
        f"alembic-safe could not be loaded ({type(error).__name__}: {error}); its guard is not in place", stacklevel=3
    )


def after_import(name: str, hook: Callable[[ModuleType], None]) -> None:
    """Call a function with a module as soon as that module has been executed.

    :param name: the module's full name.
    :param hook: what to call; its failure is reported as a warning and never reaches the importer.
    """

    def guarded(module: ModuleType) -> None:
        try:
            hook(module)
        except Exception as error:  # noqa: BLE001 - the host's import must go on
            _report(error)

    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        guarded(module)
    else:
        sys.meta_path.insert(0, _PostImportFinder(name, guarded))


class _PostImportFinder(importlib.abc.MetaPathFinder):
    """Finds one module through the other finders, and runs a hook behind its execution."""

    def __init__(self, name: str, hook: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.hook = hook

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _HookedLoader(spec.loader, self.hook)
        return spec


class _HookedLoader(importlib.abc.Loader):
    """The module's own loader, with a hook behind ``exec_module``."""

    def __init__(self, loader: Any, hook: Callable[[ModuleType], None]) -> None:
        self.loader = loader
        self.hook = hook

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        # what looks for the module's source later (inspect, linecache) must find the real loader
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.hook(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def _watch_migration_runs(module: ModuleType) -> None:
    """Door 3: every command that runs ``env.py`` passes MigrationContext.run_migrations."""
    del module
    context_class = importlib.import_module("alembic.runtime.migration").MigrationContext
    run, stamp = context_class.run_migrations, context_class.stamp

    @functools.wraps(run)
    def run_migrations(self: Any, **kw: Any) -> None:
        _find_the_originals(self)
        watch = _watch(self)
        if watch is None:
            run(self, **kw)
        else:
            (watch.offline_run if self.as_sql else watch.watched_run)(self, run, kw)

    @functools.wraps(stamp)
    def stamp_directly(self: Any, script_directory: Any, revision: str) -> None:
        watch = None if self.as_sql else _watch(self)
        if watch is None:
            stamp(self, script_directory, revision)
        else:
            watch.watched_stamp(self, stamp, script_directory, revision)

    context_class.run_migrations = run_migrations
    context_class.stamp = stamp_directly


def _watch(context: Any) -> Any:
    """Return the module that watches over a run, or ``None`` where a run is none of our business."""
    if context.dialect.name != "postgresql" or (context.connection is None and not context.as_sql):
        return None
    try:
        return importlib.import_module("alembic_safe.deploying.watch")
    except Exception as error:  # noqa: BLE001 - a broken installation must not pass for an absent guard
        if context.as_sql:
            _report(error)
        else:
            stop_if_marked(context.connection, error)
        return None


def _know_what_was_squashed(module: ModuleType) -> None:
    """Door 7: a replaced revision is found by every command, and a database on one of them goes through the originals."""
    directory = module.ScriptDirectory
    make, up, down, stamp = (
        directory.__init__, directory._upgrade_revs, directory._downgrade_revs, directory._stamp_revs,  # noqa: SLF001
    )  # fmt: skip

    @functools.wraps(make)
    def init(self: Any, *args: Any, **kw: Any) -> None:
        make(self, *args, **kw)
        # nothing of ours is imported where nothing was squashed
        if os.path.isdir(os.path.join(self.dir, "squashed")):  # noqa: PTH112, PTH118 - pathlib costs more than the look
            self.revision_map = importlib.import_module("alembic_safe.database.squash_map").SquashedMap(self)

    def expanding(
        original: Callable[..., Any], *, all_of_it: bool = False, upwards: bool = False
    ) -> Callable[..., Any]:
        @functools.wraps(original)
        def revisions(self: Any, wanted: Any, heads: Any) -> Any:
            knows = hasattr(self.revision_map, "expand")
            if knows:
                with self._catch_revision_errors():
                    self.revision_map.expand_named(wanted, heads)
                    if all_of_it:
                        self.revision_map.expand_all()
            steps = original(self, wanted, heads)
            return self.revision_map.shortened(steps, heads) if knows and upwards else steps

        return revisions

    directory.__init__ = init
    directory._upgrade_revs = expanding(up, upwards=True)  # noqa: SLF001
    directory._downgrade_revs = expanding(down, all_of_it=True)  # noqa: SLF001
    directory._stamp_revs = expanding(stamp)  # noqa: SLF001


def _find_the_originals(context: Any) -> None:
    """Let the script directory of a run know the revisions that its database is on, where they were squashed."""
    script = context.opts.get("script")
    if context.as_sql or context.connection is None or not hasattr(getattr(script, "revision_map", None), "expand"):
        return
    was_in_transaction = context.connection.in_transaction()
    heads = context.get_current_heads()
    if not was_in_transaction and context.connection.in_transaction():
        context.connection.rollback()
    script.revision_map.expand(heads)


def stop_if_marked(connection: Any, error: BaseException) -> None:
    """Let a database without our marker pass, with a warning; stop before anything happens to a marked one.

    :param connection: SQLAlchemy's.
    :param error: why the guard could not be loaded.
    """
    _report(error)
    was_in_transaction = connection.in_transaction()
    marked = connection.exec_driver_sql(
        # by its columns: this must not depend on anything else of ours, and a dump can lose the schema's comment
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'r'"
        " AND c.relname IN ('environment', 'alembic_safe_environment') AND NOT a.attisdropped AND a.attname IN"
        " ('environment', 'protected', 'system_identifier', 'database_oid', 'set_by', 'set_at')"
        " GROUP BY c.oid HAVING count(*) = 6"
    ).first()
    if not was_in_transaction:
        connection.rollback()
    if marked is not None:
        raise importlib.import_module("alembic.util").CommandError(
            f"alembic-safe could not be loaded ({type(error).__name__}: {error}), and this database is marked:"
            " without its guard nothing runs here. Nothing was changed."
        ) from error


def _mount_commands(module: ModuleType) -> None:
    """Door 2: our commands as subcommands of the stock executable."""
    command_line = module.CommandLine
    parse_and_run, run = command_line.main, command_line.run_cmd

    # not as soon as the parser is made: whoever makes a CommandLine for its own use, as Alembic's tests do, finds it
    # as it always was
    @functools.wraps(parse_and_run)
    def main(self: Any, *args: Any, **kw: Any) -> Any:
        from alembic_safe.command_names import COMMANDS

        for name, _, about in COMMANDS:
            if name in self.subparsers.choices:
                continue
            # no prefix character that a shell can type: argparse then hands every token on to click
            sub = self.subparsers.add_parser(name, help=about, add_help=False, prefix_chars="\0")
            sub.add_argument("args", nargs="*")
            sub.set_defaults(cmd=(functools.partial(_run_ours, name), ["args"], []))
        return parse_and_run(self, *args, **kw)

    @functools.wraps(run)
    def run_cmd(self: Any, config: Any, options: Any) -> None:
        fn, positional, kwarg = options.cmd
        if isinstance(fn, functools.partial) and fn.func is _run_ours:
            run(self, config, options)
            return
        from alembic_safe.errors import SafeError

        @functools.wraps(fn)
        def stopped_by_us(*args: Any, **kw: Any) -> Any:
            try:
                return fn(*args, **kw)
            except SafeError as error:
                if options.raiseerr:
                    raise
                from alembic_safe.reporting.text import print_error

                print_error(error)
                sys.exit(error.exit_code)

        options.cmd = (stopped_by_us, positional, kwarg)
        run(self, config, options)

    command_line.main = main
    command_line.run_cmd = run_cmd


def _run_ours(name: str, config: Any, args: list[str] | None) -> None:
    from alembic_safe.commands import run

    sys.exit(run(name, list(args or ()), config))


class _QuietAboutUs(logging.Filter):
    """Keeps Alembic's line on setting up our comparator out of stock output."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(record.args, tuple) and record.args[:1] == (PLUGIN_NAME,))


def _register_operations(module: ModuleType) -> None:
    """Door 5: the verbs that revision files speak; Alembic's own operations are complete when ``alembic.op`` is."""
    del module
    importlib.import_module("alembic_safe.operations.registration").register()


def _subtract_from_autogenerate(plugin: Any) -> None:
    """Door 4: what is ours, or an open change will settle, is no difference; after a push there is no answer to give.

    A default that the server cannot compare is one.
    """
    priority = importlib.import_module("alembic.util").DispatchPriority
    logging.getLogger("alembic.runtime.plugins").addFilter(_QuietAboutUs())

    def leave_ours_out(autogen_context: Any, upgrade_ops: Any) -> Any:
        from alembic_safe.inspecting.subtraction import leave_ours_out
        from alembic_safe.inspecting.unrecorded import stop_on_pushes

        del upgrade_ops
        stop_on_pushes(autogen_context)
        return leave_ours_out(autogen_context)

    def subtract_open_changes(autogen_context: Any, upgrade_ops: Any) -> Any:
        from alembic_safe.inspecting.open_differences import subtract_open_changes

        subtract_open_changes(autogen_context, upgrade_ops)
        return importlib.import_module("alembic.util").PriorityDispatchResult.CONTINUE

    def differing_where_refused(autogen_context: Any, op: Any, *rest: Any) -> Any:
        from alembic_safe.inspecting.default_comparison import differing_where_refused

        return differing_where_refused(autogen_context, op, *rest[-2:])

    plugin.add_autogenerate_comparator(leave_ours_out, "autogenerate", priority=priority.FIRST)
    plugin.add_autogenerate_comparator(subtract_open_changes, "autogenerate", priority=priority.LAST)
    # behind what env.py says of defaults, which may be that nobody compares them; in front of the server's own answer
    plugin.add_autogenerate_comparator(differing_where_refused, "column", "server_default", qualifier="postgresql")


sys.modules[__name__].__class__ = _IterablePluginModule

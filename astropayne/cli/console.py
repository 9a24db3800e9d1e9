# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Printing, errors and exit codes of the commands."""

import contextlib
import inspect
import os
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import click

__all__ = ["INCOMPLETE", "INTERRUPTED", "Command", "Console", "Group", "pass_console"]

#: Exit code of a command that did not process all its inputs.
INCOMPLETE = 3
#: Exit code of a command that was interrupted, as shells define it.
INTERRUPTED = 130

# What messages of the library advise, by the parameter of a command that does the same. Arguments
# that have the name of such a parameter need no entry.
_SAME_AS = {
    "held_out_only=False": "everything",
    "degrade_spectrum": "degrade_from",
    "meta={'medium': 'vacuum'}": "medium",
}
# Choices in a file, which commands take after its name: FILE::5, FILE::COADD_B.
_CHOICE = re.compile(r"\b(?:target|hdu)=('[^']*'|[-\w]+)")
_COLUMN = re.compile(r"columns=\{'(\w+)': '([^']*)'\}")
_ARGUMENT = r"(?<![\w.])({})=('[^']*'|\"[^\"]*\"|[\w.+-]+|(?!\S))"


class Console:
    """Print the lines of a command.

    Parameters
    ----------
    quiet : bool
        Print only errors.
    verbose : bool
        Print details.
    flags : dict of str to click.Option
        Options of the command, by the names of their parameters.
    """

    def __init__(
        self,
        quiet: bool = False,
        verbose: bool = False,
        flags: dict[str, click.Option] | None = None,
    ) -> None:
        self.quiet, self.verbose, self.flags = quiet, verbose, flags or {}

    def __call__(self, line: str = "") -> None:
        """Print a line."""
        if not self.quiet:
            click.echo(line)

    def detail(self, line: str = "") -> None:
        """Print a line if details are requested."""
        if self.verbose:
            self(line)

    @property
    def progress(self) -> bool | None:
        """Whether to show progress bars; `None` shows them on a terminal only."""
        return False if self.quiet else None

    def warning(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        """Print a warning; has the signature of `warnings.showwarning`."""
        if not self.quiet:
            text = self.with_flags(str(message))
            click.echo(click.style("Warning: ", fg="yellow") + text, err=True)

    def with_flags(self, message: str) -> str:
        """Return a message of the library with flags in place of arguments of functions."""
        for text, name in _SAME_AS.items():
            if name in self.flags:
                message = message.replace(text, _longest(self.flags[name]))
        if "column" in self.flags:
            message = _COLUMN.sub(r"--column \1=\2", message)
            message = _CHOICE.sub(lambda match: f"FILE::{match[1].strip(chr(39))}", message)
        names = "|".join(self.flags)
        return re.sub(_ARGUMENT.format(names), self._flag, message) if names else message

    def _flag(self, argument: re.Match) -> str:
        option, value = self.flags[argument[1]], argument[2].strip("'\"")
        flag = _longest(option)
        return flag if option.is_flag or not value else f"{flag} {value}"


def _longest(option: click.Option) -> str:
    return max(option.opts, key=len)


#: Decorator that passes the console of a command as its first argument.
pass_console = click.pass_obj


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Raise `KeyboardInterrupt` on SIGTERM, which batch queues and ``timeout`` send.

    Processes that ``torchrun`` started are left alone: they may wait for one that has ended.
    """
    changed = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        and int(os.environ.get("WORLD_SIZE", 1)) == 1
    )
    if changed:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if changed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _keep_examples(help_text: str | None) -> str:
    """Mark indented paragraphs, which click would rewrap otherwise."""
    return inspect.cleandoc(help_text or "").replace("\n\n  ", "\n\n\b\n  ")


class Command(click.Command):
    """A command that prints one sentence for an error, or with ``--debug`` its traceback."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = _keep_examples(self.help)
        for names, text in (
            (["-q", "--quiet"], "Print only errors."),
            (["-v", "--verbose"], "Print details."),
            (["--debug"], "Show the traceback of an error."),
        ):
            self.params.append(click.Option(names, is_flag=True, help=text))

    def invoke(self, ctx: click.Context) -> object:
        """Call the function of the command, and report warnings and errors."""
        debug = ctx.params.pop("debug")
        flags = {p.name: p for p in self.params if isinstance(p, click.Option)}
        ctx.obj = Console(ctx.params.pop("quiet"), ctx.params.pop("verbose"), flags)
        # As it is imported, astropy takes over how warnings are shown.
        import astropy  # noqa: F401

        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = ctx.obj.warning
            try:
                with _terminated_as_interrupted():
                    return super().invoke(ctx)
            except KeyboardInterrupt:
                click.echo("Aborted!", err=True)
                raise click.exceptions.Exit(INTERRUPTED) from None
            except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
                raise  # click ends quietly when a reader such as head closes the pipe
            except Exception as error:
                if debug:
                    raise
                raise click.ClickException(ctx.obj.with_flags(_sentence(error))) from None


def _sentence(error: Exception) -> str:
    """Return the message of an error; of an unexpected one also its type and where to look."""
    if isinstance(error, OSError) and error.filename and error.strerror:  # the system's own
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ValueError | OSError | TypeError | RuntimeError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"


class Group(click.Group):
    """A group whose help keeps the lines of its examples."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = _keep_examples(self.help)

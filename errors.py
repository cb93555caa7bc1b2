"""Arguments and end of a program: a line that says what to mend, no traceback; the exit code."""

from __future__ import annotations

import argparse
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

EXIT_USER_ERROR = 2
EXIT_SIGNAL = 128  # plus the signal's number, as shells have it
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """Something the user can mend: `<where>: <found>; expected <valid>. <what to do>.`"""


class Stopped(Exception):
    """A signal ended the work; what was done is kept, and the user told so."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class CommandLine(argparse.ArgumentParser):
    """A program's arguments; what is wrong with them is a `UserError`, not a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError for what argparse found, or a program did."""
        raise UserError(f"{message.rstrip('.')}. See {self.prog} --help.")


def run_program(main: Callable[[], int]) -> NoReturn:
    """Run a program's `main` and end the process with its exit code.

    A `UserError` or a full disk becomes one line on stderr and exit code 2 (`--debug` on the
    command line keeps the traceback), and so does a GPU's memory that is full; a signal 128 plus
    its number; a reader of stdout that goes away (`| head`) ends it without a word. Any other
    exception is a bug and keeps its traceback.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need be no text
        utf = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="surrogateescape" if utf else "backslashreplace")
    if signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _end)
    try:
        code = main()
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        if not _stdout_is_unread():
            raise
        # what is left goes nowhere, or Python would complain of it at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_SIGNAL + signal.SIGPIPE)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:
        if error.errno not in FULL_DISK or "--debug" in sys.argv:
            raise
        where = error.filename or "the output"
        print(
            f"error: {where}: {error.strerror}; expected room to write. Free some space and run "
            "the command again.",
            file=sys.stderr,
        )
        sys.exit(EXIT_USER_ERROR)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError" or "--debug" in sys.argv:  # torch's
            raise
        what = ". ".join(str(error).split(". ")[:2]).rstrip(".")
        print(
            f"error: {what}; expected room for the work. Take fewer or smaller pictures at a time, "
            "or --device cpu.",
            file=sys.stderr,
        )
        sys.exit(EXIT_USER_ERROR)
    except Stopped as stopped:
        sys.exit(EXIT_SIGNAL + stopped.number)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_SIGNAL + signal.SIGINT)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that no half-written file is left."""
    print(f"stopped by {signal.Signals(number).name}", file=sys.stderr)
    sys.exit(EXIT_SIGNAL + number)


def _stdout_is_unread() -> bool:
    """Return whether stdout is a pipe whose reader is gone. (Windows has no such error.)"""
    stdout = select.poll()
    stdout.register(sys.stdout, 0)  # errors are told of without being asked for
    return bool(stdout.poll(0))

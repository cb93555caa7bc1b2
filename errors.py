"""Arguments and end of a program: a line that says what to mend, no traceback; the exit code."""

from __future__ import annotations

import argparse
import errno
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

EXIT_USER_ERROR = 2
EXIT_SIGNAL = 128  # plus the signal's number, as shells have it
_told: list[int] = []
"""The signals that came to end the program."""
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

    What `line_of` has a line for becomes that line on stderr and exit code 2 (`--debug` on the
    command line keeps the traceback); a signal 128 plus its number; a reader of stdout that goes
    away (`| head`) ends it without a word. Any other exception is a bug and keeps its traceback.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need be no text
        utf = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="surrogateescape" if utf else "backslashreplace")
    for name in ("stdout", "stderr"):  # closed, as some programs start others
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, as long as the program
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no hang-up; nohup has it ignored
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        code = main()
        end_if_told()
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        if not _stdout_is_unread():
            raise
        # what is left goes nowhere, or Python would complain of it at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_SIGNAL + signal.SIGPIPE)
    except Stopped as stopped:
        sys.exit(EXIT_SIGNAL + stopped.number)
    except Exception as error:
        if _told:  # a library that is being imported makes another error of what a signal raised
            _leave(EXIT_SIGNAL + _told[-1])
        line = line_of(error)
        if line is None or "--debug" in sys.argv:
            raise
        print(f"error: {one_line(line)}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        if not _told:  # another handler's
            print("interrupted", file=sys.stderr)
        _leave(EXIT_SIGNAL + (_told[-1] if _told else signal.SIGINT))


def line_of(error: Exception) -> str | None:
    """Return the line that tells of an error that the user can mend; None for a bug of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return (
            f"{error.filename or 'the output'}: {error.strerror}; expected room to write. Free "
            "some space and run the command again."
        )
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        what = ". ".join(str(error).split(". ")[:2]).rstrip(".")
        return (
            f"{what}; expected room for the work. Take fewer or smaller pictures at a time, or "
            "--device cpu."
        )
    if isinstance(error, MemoryError):
        return (
            "there is not enough memory; expected room for the work. Take smaller pictures, or "
            "end other programs."
        )
    return None


def one_line(text: str) -> str:
    """Return a message without the line breaks that libraries put into theirs."""
    return " ".join(text.splitlines())


def end_if_told() -> None:
    """Raise KeyboardInterrupt if a signal has come before.

    It raised that already, but a library's callback may have swallowed it. Long loops ask here.
    """
    if _told:
        raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that no half-written file is left."""
    if not _told:
        with suppress(OSError):  # the terminal is gone
            name = "interrupted" if number == signal.SIGINT else f"stopped by {_name_of(number)}"
            print(name, file=sys.stderr)
    _told.append(number)
    raise KeyboardInterrupt


def _name_of(number: int) -> str:
    return signal.Signals(number).name


def _leave(code: int) -> NoReturn:
    """End the process, if need be without threads that wait for what may never come."""
    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        sys.exit(code)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _stdout_is_unread() -> bool:
    """Return whether stdout is a pipe whose reader is gone. (Windows has no such error.)"""
    stdout = select.poll()
    stdout.register(sys.stdout, 0)  # errors are told of without being asked for
    return bool(stdout.poll(0))

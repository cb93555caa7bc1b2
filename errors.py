"""What a user did that cannot work, told in one line instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


class UserError(Exception):
    """Something the user can mend: `<where>: <found>; expected <valid>. <what to do>.`"""


def run_program(main: Callable[[], int]) -> NoReturn:
    """Run a program's `main` and end the process with its exit code.

    A `UserError` becomes one line on stderr and exit code 2 (`--debug` on the command line keeps
    the traceback); any other exception is a bug and keeps its traceback.
    """
    try:
        sys.exit(main())
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)

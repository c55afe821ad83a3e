"""Tells users' mistakes, which end in one sentence, from bugs, which keep their traceback."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parent


@contextmanager
def ending_in_one_sentence() -> Iterator[None]:
    """End the program with the sentence, and no traceback, where a user's mistake is refused.

    That is a file that is missing or cannot be read or written, numbers that are no longer finite,
    or a ValueError that this package raises.
    """
    try:
        yield
    except (FloatingPointError, OSError) as error:
        sys.exit(f'error: {error}')
    except ValueError as error:
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if not Path(raised_in).is_relative_to(PACKAGE):
            raise
        sys.exit(f'error: {error}')

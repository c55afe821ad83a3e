"""Writes a folder of converted data whole or not at all."""

import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path


def check_folder(out: Path, written: Set[str], mark: str, overwrite: bool) -> None:
    """Refuse a folder that holds something else than what a conversion writes.

    Args:
        out: Folder to write, which need not exist.
        written: Names of all that a conversion writes into it.
        mark: The one of them by which an earlier conversion is known.
        overwrite: Whether an earlier conversion is replaced.

    Raises:
        OSError: If the place cannot be looked at.
        ValueError: If something would be lost.
    """
    try:
        if out.exists() and not out.is_dir():
            raise ValueError(
                f'{out} is a file where a folder is to be written: give another place.'
            )
        found = {path.name for path in out.iterdir()} if out.is_dir() else set()
    except OSError as error:
        raise _not_written(out, error) from error
    if found and not overwrite:
        raise ValueError(f'{out} is not empty: give --overwrite, or another folder.')
    if found and mark not in found:
        raise ValueError(f'{out} holds no earlier conversion to overwrite: give another folder.')
    if found - written:
        raise ValueError(
            f'{out} holds {sorted(found - written)} besides an earlier conversion: move that away, '
            'or give another folder.'
        )


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Give a folder that becomes ``out`` at the end, and nothing on an error.

    Args:
        out: Folder to write.

    Raises:
        OSError: If it cannot be written.
    """
    folder, old = (out.with_name(f'.{out.name}.{end}') for end in ('part', 'old'))
    try:
        for leftover in (folder, old):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise _not_written(out, error) from error
        yield folder
        if out.exists():
            out.replace(old)
        try:
            folder.replace(out)
        except OSError as error:
            if old.exists():
                old.replace(out)
            raise _not_written(out, error) from error
    finally:
        for leftover in (folder, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _not_written(out: Path, error: OSError) -> OSError:
    return OSError(
        f'{out} could not be written ({error.strerror}): check the permissions there, or choose '
        'another place.'
    )

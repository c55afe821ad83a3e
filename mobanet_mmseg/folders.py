"""Folders that a tool writes: which files in them are its own, and that one process writes at once.

A mark in the folder names the tool and the files. What it does not name, or not as it is now, is
somebody else's and is never replaced or removed.
"""

import fcntl
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mobanet_mmseg.writing import DERIVED, reporting, write_text

MARK = 'conversion.json'
OWN = '.conversion.'  # what begins with it, on top of a folder, is a tool's while it works
LOCK = f'{OWN}lock'
CACHES = ('aux_statistics.json', '.DS_Store', 'Thumbs.db')  # of the training, of desktops
SHOWN = 5


class Ledger:
    """Which files of a folder a tool has written, and what it notes of them, kept in the folder.

    Args:
        folder: The folder, which need not exist.
        tool: Name of the tool; what another one has kept counts for nothing. None is any tool.
    """

    def __init__(self, folder: Path, tool: str | None = None) -> None:
        self.folder, self.tool = folder, tool
        self.facts: dict[str, Any] = {}
        self.files: dict[str, list[int] | None] = {}  # size and checksum; None while it is written
        self.found = False
        try:
            stored = json.loads((folder / MARK).read_text(encoding='utf-8'))
        except (OSError, ValueError, RecursionError):
            return
        if isinstance(stored, dict) and tool in (None, stored.get('tool')):
            files = stored.pop('files', None)
            self.found = isinstance(files, dict)
            self.files = files if self.found else {}
            self.facts = {key: value for key, value in stored.items() if key != 'tool'}

    def expect(self, names: Iterable[str]) -> None:
        """Note, before it is done, that files are written.

        Args:
            names: Their paths in the folder.

        Raises:
            OSError: If the mark cannot be written.
            ValueError: If another file stands there, or one that was changed since.
        """
        foreign = sorted(name for name in names if not self.owns(name))
        if foreign:
            raise ValueError(
                f'{self.folder} holds {_some(foreign)}, which {self.tool} has not written so: move '
                'that away, or give another folder.'
            )
        self.files |= dict.fromkeys(names)
        self.save()

    def add(self, names: Iterable[str]) -> None:
        """Note files as they were written.

        Args:
            names: Their paths in the folder.
        """
        self.files |= {name: _fingerprint(self.folder / name) for name in names}

    def save(self) -> None:
        """Write the mark.

        Raises:
            OSError: If it cannot be written.
        """
        content = {'tool': self.tool, **self.facts, 'files': dict(sorted(self.files.items()))}
        write_text(self.folder / MARK, json.dumps(content, indent=1))

    def has(self, name: str, text: str | None = None) -> bool:
        """Whether a file is there in full.

        Args:
            name: Its path in the folder.
            text: What it says; None where its size is enough.
        """
        path, known = self.folder / name, self.files.get(name)
        if not known or not path.is_file() or path.stat().st_size != known[0]:
            return False
        return text is None or path.read_bytes() == text.encode()

    def owns(self, name: str) -> bool:
        """Whether a file may be replaced: it is missing, or as the tool wrote it.

        Args:
            name: Its path in the folder.
        """
        path, known = self.folder / name, self.files.get(name, [])
        if path.is_symlink() or not path.exists():
            return not path.is_symlink()
        return known is None or (path.is_file() and _fingerprint(path) == known)


def check_folder(path: Path, tool: str, overwrite: bool) -> None:
    """Refuse a folder that holds something else than what a tool wrote into it.

    Args:
        path: Folder to write, which need not exist.
        tool: Name of the tool.
        overwrite: Whether an earlier conversion is replaced.

    Raises:
        OSError: If the place cannot be looked at.
        ValueError: If something would be lost.
    """
    with reporting(path):
        if path.exists() and not path.is_dir():
            raise ValueError(
                f'{path} is a file where a folder is to be written: give another place.'
            )
        found = _content(path)
        ledger = Ledger(path, tool)
        if found and not overwrite:
            raise ValueError(f'{path} is not empty: give --overwrite, or another folder.')
        if found and not ledger.found:
            raise ValueError(
                f'{path} holds no earlier conversion of {tool} to overwrite ({MARK} does not say '
                'so): give another folder, or move that one away.'
            )
        kept = {
            MARK,
            *(parent.as_posix() for name in ledger.files for parent in Path(name).parents),
        }
        foreign = sorted(
            name
            for name in found - kept
            if _described(name) not in ledger.files
            or (name in ledger.files and not ledger.owns(name))
        )
    if foreign:
        raise ValueError(
            f'{path} holds {_some(foreign)} besides an earlier conversion, or changed since: move '
            'that away, or give another folder.'
        )


@contextmanager
def whole_folder(path: Path, tool: str, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a hidden folder beside another one, whose name it takes at the end of the block.

    It is held against other processes meanwhile. On an error nothing stays of it, and an older
    folder is as it was. Errors of the block itself pass as they are.

    Args:
        path: Folder to write.
        tool: Name of the tool.
        overwrite: Whether an earlier conversion of the tool is replaced.

    Raises:
        OSError: If it cannot be written.
        ValueError: If something would be lost, see :func:`check_folder`, or another process writes
            it.
    """
    part, old = (path.with_name(f'.{path.name}.{end}') for end in ('part', 'old'))
    with reporting(path):
        if part.is_symlink() or (_content(part) and not (part / LOCK).exists()):
            raise ValueError(f'{part} is in the way of what is to be written: move it away.')
    try:
        with locked(part, path):
            try:
                with reporting(path):
                    _empty(part)  # of what a killed conversion left
                    if old.exists() and not path.exists():
                        old.replace(path)
                    _remove_written(old)
                    check_folder(path, tool, overwrite)
                yield part
                ledger = Ledger(part, tool)
                ledger.add(sorted(name for name in _content(part) if (part / name).is_file()))
                ledger.save()
                with reporting(path):
                    check_folder(path, tool, overwrite)  # what has come in meanwhile
                    _exchange(part, path, old)
            finally:
                with suppress(OSError):
                    _empty(part)
    finally:
        with suppress(OSError):
            part.rmdir()


def _exchange(part: Path, path: Path, old: Path) -> None:
    """Let a folder take the place of another one, which is removed."""
    if path.exists():
        path.replace(old)
    try:
        part.replace(path)
    except OSError:
        if old.exists():
            old.replace(path)
        raise
    (path / LOCK).unlink(missing_ok=True)
    _remove_written(old)


@contextmanager
def kept_folder(path: Path, tool: str) -> Iterator[Ledger]:
    """Hold a folder that a tool writes into file by file, so that it goes on where it stopped.

    Args:
        path: The folder; it is made where it is missing.
        tool: Name of the tool.

    Yields:
        What it has written there.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If the folder holds something that the tool has not written, or another process
            writes it.
    """
    with locked(path, path):
        ledger = Ledger(path, tool)
        if not ledger.found and _content(path):
            raise ValueError(
                f'{path} is not empty and holds nothing that {tool} has written ({MARK} does not '
                'say so): give another folder, or move that one away.'
            )
        for leftover in path.glob(f'.{MARK}.*.part'):
            leftover.unlink()
        yield ledger


@contextmanager
def locked(folder: Path, output: Path) -> Iterator[None]:
    """Hold a folder against other processes; the system frees it should this one be killed.

    Args:
        folder: The folder; it is made where it is missing.
        output: What is written in the end, for the sentence.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If another process holds it.
    """
    path = folder / LOCK
    with reporting(output), ExitStack() as stack:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # what held the folder has just ended
                file = stack.enter_context(path.open('a'))
                _hold(file, output)
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    break
        held = stack.pop_all()
    with held:
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def _hold(file: IO, output: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f'{output} is written by another process at this moment: wait for it to end, or give '
            'another folder.'
        ) from None
    except OSError as error:  # some network disks know no locks
        warnings.warn(
            f'{output} lies on a disk without locks ({error.strerror}): see to it that nothing '
            'else writes there meanwhile.',
            stacklevel=2,
        )


def _content(folder: Path) -> set[str]:
    """Paths of all that is in a folder, links not followed, but for what holds it."""
    found = set()
    for root, folders, files in os.walk(folder):
        here = Path(root).relative_to(folder)
        found |= {(here / name).as_posix() for name in (*folders, *files)}
    return {name for name in found if not name.startswith(OWN) and Path(name).name not in CACHES}


def _described(name: str) -> str:
    """The file that a note of other programs is about, which is gone with it; or itself."""
    for ending in DERIVED:
        name = name.removesuffix(ending)
    return name


def _empty(folder: Path) -> None:
    """Remove what is in a folder of our own, but for its lock."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _remove_written(folder: Path) -> None:
    """Remove a folder with the files that its mark names.

    Raises:
        ValueError: If something else is in it, which stays.
    """
    if not folder.exists():
        return
    files = {MARK, *Ledger(folder).files}
    for root, _, names in os.walk(folder, topdown=False):
        for path in (Path(root, name) for name in names):
            name = path.relative_to(folder).as_posix()
            own = _described(name) in files or name.startswith(OWN) or path.name in CACHES
            if own and path != folder / MARK:  # which goes last, for one that goes on after a kill
                path.unlink()
        if Path(root) != folder:
            with suppress(OSError):  # something is left in it
                Path(root).rmdir()
    left = _content(folder) - {MARK}
    if left:
        raise ValueError(
            f'{folder} holds {_some(sorted(left))}, which no conversion has written: move it away.'
        )
    (folder / MARK).unlink(missing_ok=True)
    folder.rmdir()


def _fingerprint(path: Path) -> list[int]:
    """Size and checksum of a file."""
    size = checksum = 0
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            size += len(chunk)
            checksum = zlib.crc32(chunk, checksum)
    return [size, checksum]


def _some(names: Sequence[str]) -> str:
    return f'{[*names[:SHOWN]]}' + (f' and {len(names) - SHOWN} more' if len(names) > SHOWN else '')

"""Finds the checkpoint that a training goes on from: the newest whole one of its folder."""

import re
import zipfile
from pathlib import Path
from typing import NamedTuple


class Newest(NamedTuple):
    """The newest whole checkpoint of a folder.

    Args:
        path: Its file; None where the folder has no checkpoint.
        broken: Newer files, which are not whole.
    """

    path: Path | None
    broken: list[Path]


def newest_checkpoint(folder: Path, template: str, named: str = '') -> Newest:
    """Find the newest whole checkpoint of a training in its folder, whatever else lies there.

    Files of higher numbers that are older belong to an earlier, longer training.

    Args:
        folder: Where the training writes its checkpoints.
        template: Their names, with ``{}`` for the number of the epoch or iteration.
        named: Path of the newest one as the training noted it; its name alone counts, for folders
            are moved and copied.
    """
    start, end = map(re.escape, re.split(r'\{.*\}', template))
    matches = (re.fullmatch(rf'{start}(\d+){end}', path.name) for path in _files(folder))
    numbers = {folder / match[0]: int(match[1]) for match in matches if match}
    if not numbers:
        return Newest(None, [])
    times = {path: path.stat().st_mtime_ns for path in numbers}
    last = folder / Path(named).name
    if last not in numbers:
        by_age = sorted(numbers, key=lambda path: (times[path], numbers[path]), reverse=True)
        last = next(filter(is_whole, by_age), by_age[-1])
    own = [
        path
        for path in sorted(numbers, key=numbers.get, reverse=True)
        if numbers[path] <= numbers[last] or times[path] >= times[last]
    ]
    found = next((index for index, path in enumerate(own) if is_whole(path)), len(own))
    return Newest(own[found] if found < len(own) else None, own[:found])


def last_checkpoint(work_dir: Path) -> str:
    """Read which file a training noted as its newest one.

    Args:
        work_dir: Its work folder.

    Returns:
        The path; empty where there is no note, or none that can be read.
    """
    try:
        return (work_dir / 'last_checkpoint').read_text(errors='replace').strip()
    except OSError:
        return ''


def is_whole(path: Path) -> bool:
    """Say whether a file of ``torch.save`` was written to its end and is unchanged since.

    Args:
        path: The file; all of it is read, for its checksums.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except Exception:  # what is cut off or altered makes zipfile raise whatever it meets
        return False


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []

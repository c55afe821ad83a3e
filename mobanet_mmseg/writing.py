"""Writes whole or not at all: what stands under a name is complete."""

import codecs
import csv
import glob
import io
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NO_DISK = re.compile(r'/vsi\w+/|[A-Za-z][\w+.-]+:/')  # GDAL's archives, addresses

# what programs that show a raster note of its pixels beside it: statistics, overviews
DERIVED = ('.aux.xml', '.ovr')


class NotWrittenError(OSError):
    """A file or folder could not be written; the sentence names it."""


@contextmanager
def reporting(path: str | Path, *also_errors: type[Exception]) -> Iterator[None]:
    """Turn what the system says while something is written into one sentence that names it.

    Args:
        path: What is written.
        *also_errors: What the writing library raises besides ``OSError``.

    Raises:
        OSError: The sentence.
    """
    try:
        yield
    except NotWrittenError:  # of a file inside, whose sentence it is
        raise
    except (OSError, *also_errors) as error:
        said = getattr(error, 'strerror', None) or error.__cause__ or error
        raise NotWrittenError(
            f'{path} could not be written ({said}): check the free space and the permissions '
            'there, or choose another place.'
        ) from error


def prepare_place(path: str | Path) -> None:
    """Find out early whether a file can be put somewhere, and make the folders above it.

    Args:
        path: Output path.

    Raises:
        OSError: If a folder stands there, those above cannot be made, or the place is on no disk.
    """
    path = Path(path)
    with reporting(path):
        if NO_DISK.match(str(path)):
            raise OSError('what is written goes to a disk')
        if path.is_dir():
            raise IsADirectoryError('it is a folder')
        path.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def hidden_part(path: str | Path) -> Iterator[Path]:
    """Give a hidden name beside a file, which becomes the file at the end of the block.

    On an error nothing stays of it, nor of what a library keeps beside it. Errors of the block
    itself pass as they are; :func:`whole_file` reports them, too.

    Args:
        path: Output path; missing parent folders are made, an existing file is replaced.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(path)
    prepare_place(path)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield part
        with reporting(path):
            part.replace(path)
    except BaseException:
        with suppress(OSError):  # what stays is hidden
            for leftover in path.parent.glob(f'{glob.escape(part.name)}*'):
                leftover.unlink(missing_ok=True)
        raise


@contextmanager
def whole_file(path: str | Path, *also_errors: type[Exception]) -> Iterator[Path]:
    """Write a file whole or not at all: under a hidden name beside it, and renamed at the end.

    Args:
        path: Output path; missing parent folders are made, an existing file is replaced.
        *also_errors: What the writing library raises besides ``OSError``.

    Yields:
        Where to write.

    Raises:
        OSError: If it cannot be written; nothing stays of it.
    """
    with reporting(path, *also_errors), hidden_part(path) as part:
        yield part


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, in UTF-8.

    Args:
        path: Output path; missing parent folders are made, an existing file is replaced.
        text: What to write.

    Raises:
        OSError: If it cannot be written; nothing stays of it.
    """
    with whole_file(path) as part:
        # half a pair of UTF-16, of a JSON or a file's name, is no text: it is written as in Python
        part.write_text(text, encoding='utf-8', errors='backslashreplace')


def to_csv(records: Sequence[dict[str, Any]]) -> str:
    """Write records with one column a key, empty where there is no number.

    Args:
        records: Values by column; the columns are those of all records, in the order of the first
            one that has them.
    """
    columns = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    for record in records:
        known = {key: value for key, value in record.items() if not _is_nan(value)}
        writer.writerow({key: known.get(key, '') for key in columns})
    return text.getvalue()


def _is_nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def decode(content: bytes) -> str:
    """Decode a text file: UTF-8, or UTF-16 that says so by its byte order mark, which goes.

    Args:
        content: The file's bytes.

    Raises:
        UnicodeDecodeError: If it is neither.
    """
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode('utf-16' if utf16 else 'utf-8-sig')


def read_text(path: str | Path) -> str:
    """Read a text file, see :func:`decode`.

    Args:
        path: The file.

    Raises:
        ValueError: If it is no such text.
    """
    try:
        return decode(Path(path).read_bytes())
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text in UTF-8 ({error}): save it as such.') from error


class Stems:
    """Names files after what they are made of, each for itself: equal stems are numbered.

    Args:
        sources: What is named first, so that its order alone decides on the numbers.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self.sources: dict[str, str] = {}  # by stem
        for source in sources:
            self.of(source)

    def of(self, source: str) -> str:
        """Give the stem of what is made of a source, the same at each call.

        Args:
            source: Path of a file.
        """
        for number in itertools.count(1):
            stem = Path(source).stem + (f'_{number}' if number > 1 else '')
            if self.sources.setdefault(stem, source) == source:
                break
        return stem


def check_outputs(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path]) -> None:
    """Refuse to write over what is read, under whatever names and links the files are known.

    Args:
        outputs: Files to write, and folders that are replaced with all that is in them; None is
            none.
        inputs: Files that are read, for rasters those of
            :func:`mobanet_mmseg.rasters.sources.files_behind`.

    Raises:
        ValueError: If an output is an input, or a folder that holds one.
    """
    written = {file_number(output): output for output in outputs if output is not None}
    written.pop(None, None)  # what is new replaces nothing
    for name in inputs if written else ():
        path = Path(name).absolute()
        for place in (path, *path.parents, *path.resolve().parents):  # the folders that it lies in
            identity = file_number(place)
            if identity not in written:
                continue
            if place.is_dir():
                raise ValueError(
                    f'{name} lies in {written[identity]}, which is written: give another folder.'
                )
            raise ValueError(
                f'{written[identity]} would be written over {name}, which is read: give another '
                'folder, or another name.'
            )


def file_number(path: str | Path) -> tuple[int, int] | None:
    """What a file or folder has for itself, whatever it is called; None where nothing is.

    Args:
        path: One of its names, or a link to it.
    """
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino

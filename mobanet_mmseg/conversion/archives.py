"""Finds files by name in folders and zips, nested ones too, and puts one at a time on disk."""

import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from rich.progress import wrap_file

from mobanet_mmseg.writing import reporting

SIDECARS = ('.tfw', '.tifw', '.wld', '.prj')  # where GDAL finds a place that a TIFF does not state
LOCAL_HEADER = 30  # bytes before the name in a zip


@dataclass(frozen=True)
class Member:
    """A file that was found.

    Args:
        name: Its own name.
        folders: Folders and zips (without ``.zip``) that hold it, the nearest first.
        place: Where it is, for a message.
        stamp: What changes when the file does: its name, size and checksum, or time.
        mtime_ns: When the file, or the zip that holds it, was written.
        path: Path on disk, or name in ``archive``.
        archive: The open zip that holds it, None where it is a file on disk.
    """

    name: str
    folders: tuple[str, ...]
    place: str
    stamp: tuple[str, int, int]
    mtime_ns: int
    path: str
    archive: zipfile.ZipFile | None = None

    @contextmanager
    def on_disk(self, scratch: Path) -> Iterator[Path]:
        """Give the path of the file, unpacked for as long as it is needed.

        Args:
            scratch: Folder to unpack into.

        Raises:
            OSError: If it cannot be unpacked there.
            ValueError: If the zip is damaged, encrypted or packed in an unknown way.
        """
        if self.archive is None:
            yield Path(self.path)
            return
        stem = self.path[: -len(PurePosixPath(self.path).suffix)]
        beside = {stem + suffix for suffix in SIDECARS} & set(self.archive.namelist())
        unpacked = []
        try:
            for name in (self.path, *sorted(beside)):
                unpacked.append(scratch / PurePosixPath(name).name)
                with _unpacking(self.archive, self.archive.getinfo(name), self.place) as packed:
                    _save(packed, unpacked[-1])
            yield unpacked[0]
        finally:
            for path in unpacked:
                path.unlink(missing_ok=True)


@contextmanager
def find_members(
    source: Path, scratch: Path, names: Collection[str], skip: Collection[str] = ()
) -> Iterator[list[Member]]:
    """Find files in a zip or a folder, whatever folders and zips lie between.

    A zip that is stored in a zip is read where it is; a compressed one is unpacked for as long as
    the context lasts, and only if it holds a file that is looked for.

    Args:
        source: Zip, or folder.
        scratch: Folder to unpack into.
        names: Names to find, in lower case; case does not matter.
        skip: Names of zips, in lower case and without ``.zip``, that are not looked into.

    Yields:
        What was found, in the order of its places.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If a zip cannot be read.
    """
    if not source.exists():
        raise FileNotFoundError(
            f'{source} does not exist: give the folder of the downloaded zips, or one of them.'
        )
    with ExitStack() as stack:
        finder = _Finder(scratch, frozenset(names), frozenset(skip), stack)
        yield list(finder.in_folder(source) if source.is_dir() else finder.in_file(source, ()))


@dataclass(frozen=True)
class _Finder:
    """Finds the members; keeps the zips open on a stack."""

    scratch: Path
    names: frozenset[str]
    skip: frozenset[str]
    stack: ExitStack

    def in_folder(self, source: Path) -> Iterator[Member]:
        seen = set()
        for root, folders, files in os.walk(source, followlinks=True):
            folder = Path(root)
            folders[:] = sorted(name for name in folders if name != self.scratch.name)
            if folder.resolve() in seen:  # a link to a folder above
                folders.clear()
                continue
            seen.add(folder.resolve())
            parents = tuple(reversed((source.name, *folder.relative_to(source).parts)))
            for path in (folder / name for name in sorted(files)):
                if path.name.lower() in self.names and path.is_file():
                    time = path.stat().st_mtime_ns
                    stamp = (path.name, path.stat().st_size, time)
                    yield Member(path.name, parents, str(path), stamp, time, str(path))
                elif path.suffix.lower() == '.zip':
                    yield from self.in_file(path, parents)

    def in_file(self, path: Path, parents: tuple[str, ...]) -> Iterator[Member]:
        if not self._skips(path.name):
            file = self.stack.enter_context(path.open('rb'))
            yield from self._in_zip(file, str(path), parents, path.stat().st_mtime_ns)

    def _in_zip(
        self, file: BinaryIO, place: str, parents: tuple[str, ...], mtime_ns: int
    ) -> Iterator[Member]:
        """Find members in an open zip and those in it."""
        try:
            archive = self.stack.enter_context(zipfile.ZipFile(file))
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(
                f'{place} cannot be read as a zip ({error}): it is truncated or no zip; download '
                'it again, or take it away if it does not belong to the archive.'
            ) from error
        parents = (PurePosixPath(place).stem, *parents)
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            path = PurePosixPath(info.filename)
            inside, folders = f'{place}/{path}', (*reversed(path.parent.parts), *parents)
            if path.name.lower() in self.names:
                stamp = (path.name, info.file_size, info.CRC)
                yield Member(path.name, folders, inside, stamp, mtime_ns, info.filename, archive)
            elif path.suffix.lower() == '.zip' and not self._skips(path.name):
                with _unpacking(archive, info, inside) as packed:  # checks its header
                    if info.compress_type == zipfile.ZIP_STORED:
                        inner, unpacked = _stored(file, info), None
                    else:
                        inner, unpacked = self._unpacked(packed, info, inside)
                members = list(self._in_zip(inner, inside, folders, mtime_ns))
                yield from members
                if unpacked is not None and not members:
                    inner.close()
                    unpacked.unlink()

    def _unpacked(
        self, packed: BinaryIO, info: zipfile.ZipInfo, place: str
    ) -> tuple[BinaryIO, Path]:
        path = self.scratch / f'{len(list(self.scratch.iterdir()))}.zip'
        title = f'Unpacking {PurePosixPath(place).name}'
        with wrap_file(packed, info.file_size, description=title) as shown:
            _save(shown, path)
        return self.stack.enter_context(path.open('rb')), path

    def _skips(self, name: str) -> bool:
        return name.lower().removesuffix('.zip') in self.skip


@contextmanager
def _unpacking(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str) -> Iterator[BinaryIO]:
    """Open a member of a zip; what is wrong with it while it is read becomes one sentence."""
    try:
        with archive.open(info) as packed:
            yield packed
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f'{place} is damaged ({error}): download the zip again.') from error
    except (NotImplementedError, RuntimeError) as error:  # Deflate64; a password
        raise ValueError(
            f'{place} cannot be unpacked ({error}): unpack the zip by hand, and give the folder.'
        ) from error


def _save(packed: BinaryIO, path: Path) -> None:
    """Copy an open file to disk."""
    with reporting(path), path.open('wb') as file:
        shutil.copyfileobj(packed, file, 1 << 20)


def _stored(file: BinaryIO, info: zipfile.ZipInfo) -> io.BufferedReader:
    """Open a stored member where it lies, so that it can be read from anywhere at once."""
    file.seek(info.header_offset)
    header = file.read(LOCAL_HEADER)
    name, extra = (int.from_bytes(header[at : at + 2], 'little') for at in (26, 28))
    start = info.header_offset + LOCAL_HEADER + name + extra
    return io.BufferedReader(_Slice(file, start, info.file_size))


class _Slice(io.RawIOBase):
    """Some bytes of an open file, as a file of their own.

    zipfile's own file of a member reads again from its start whenever it goes back, and a copy of
    what an archive stores would cost its size, some GB, at each run.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.file, self.start, self.size, self.position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = offset + {0: 0, 1: self.position, 2: self.size}[whence]
        return self.position

    def readinto(self, buffer: memoryview) -> int:
        count = max(0, min(len(buffer), self.size - self.position))
        self.file.seek(self.start + self.position)
        data = self.file.read(count)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

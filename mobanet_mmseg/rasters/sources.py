"""Says which files a raster is made of, and whether they are still the same.

They are its own, those beside it, and those that a VRT names.
"""

import gzip
import os
import re
import tarfile
import warnings
import zipfile
import zlib
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO
from xml.etree import ElementTree

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from mobanet_mmseg.writing import DERIVED

ARCHIVE = re.compile(r'(?:/vsi(?:zip|tar|gzip|7z|rar)/|(?:zip|tar|gzip)\+?\w*://)(?P<inside>.*)')
NETWORK = re.compile(r'/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)|\b(?:https?|ftp|s3|gs)://')

TILE_OF = 'TILE_OF_BANDS'  # tag of a tile: numbers of its bands in the raster that it was cut from
UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
)
PIXELS = ('GTiff', 'PNG', 'JPEG', 'JP2OpenJPEG', 'HFA', 'BMP')  # formats that name no other raster
TEXT_BYTES = 256_000_000  # a longer text stands for no raster
PIECE_BYTES = 64_000

Stamp = tuple[int, int, int]
Stamps = dict[Path, Stamp]


def files_behind(*rasters: str | Path | None) -> list[Path]:
    """List the files of this machine whose change would change a raster.

    These are the raster itself, what lies beside it (masks, overviews, world files), the zip that
    it lies in, and the sources of a VRT, which may be VRTs themselves.

    Args:
        *rasters: Rasters, as GDAL names them; None is none. Of what cannot be opened as a raster
            the file itself is listed.
    """
    names = _names_behind([os.fspath(raster) for raster in rasters if raster is not None])
    files = {name: file_on_disk(name) for name in names}
    return [path for path in files.values() if path is not None]


def _names_behind(left: list[str]) -> list[str]:
    """What GDAL calls the files behind rasters, none of them on the network."""
    names: dict[str, None] = {}
    while left:
        name = left.pop()
        if name in names or NETWORK.search(name):
            continue
        names[name] = None
        if _address_in(name) is not None:
            continue
        with suppress(RasterioError), warnings.catch_warnings():  # which the reading reports
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(name) as dataset:
                left += dataset.files
    return list(names)


def refuse_addresses(raster: str) -> None:
    """Refuse a text that stands for a raster (a VRT, a WMS) and names pixels on the network.

    An address that the user gives is fetched; what a file on this machine names is not, and nor
    is what a VRT of its sources names.

    Args:
        raster: A raster, as GDAL names it.

    Raises:
        ValueError: If it names an address.
    """
    if NETWORK.search(raster) or not _text(raster):
        return
    for name in _names_behind([raster]):
        address = _address_in(name)
        if address is not None:
            raise ValueError(
                f'{name} names {address[:200]!r}, and what a file names is not fetched: give that '
                'address itself, or download it.'
            )


def is_tile(raster: str | Path | DatasetReader | WarpedVRT) -> bool:
    """Whether a raster says that its bands were some of another raster, which was cut into tiles.

    Args:
        raster: A raster as GDAL names it, or an open one. What cannot be opened is none.

    Raises:
        ValueError: If it names an address.
    """
    if isinstance(raster, DatasetReader | WarpedVRT):
        return TILE_OF in raster.tags()
    refuse_addresses(os.fspath(raster))
    with suppress(RasterioError), warnings.catch_warnings():  # which the reading reports
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(raster) as dataset:
            return is_tile(dataset)
    return False


def stamps(*rasters: str | Path | None) -> Stamps:
    """Note what tells whether a raster is replaced or rewritten while it is read.

    Statistics and overviews beside it are left out: programs that show it write them.

    Args:
        *rasters: See :func:`files_behind`.
    """
    files = (path for path in files_behind(*rasters) if not path.name.endswith(DERIVED))
    return {path: stamp for path in files if (stamp := _stamp(path)) is not None}


def check_unchanged(noted: Stamps) -> None:
    """Refuse rasters that are no longer what they were.

    Args:
        noted: From :func:`stamps`, before they were read.

    Raises:
        ValueError: If a file has another size, time or inode, or is gone.
    """
    for path, stamp in noted.items():
        if _stamp(path) != stamp:
            raise ValueError(_changed(path))


def check_alike(noted: Stamps, others: Stamps) -> None:
    """Refuse rasters that another process, perhaps on another machine, has seen differently.

    Args:
        noted: From :func:`stamps`.
        others: The other one's.

    Raises:
        ValueError: If a file has another size or time.
    """
    for path in noted.keys() & others.keys():
        if noted[path][:2] != others[path][:2]:  # inodes are each machine's own
            raise ValueError(_changed(path))


def _changed(path: Path) -> str:
    return (
        f'{path} has changed while it was read, so that two rasters would be mixed: let what '
        'writes it end, and start again.'
    )


def _stamp(path: Path) -> Stamp | None:
    """Size, time and inode of a file; None where it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def file_on_disk(name: str) -> Path | None:
    """Find the file of that name, or the archive that the name leads into.

    Args:
        name: As GDAL names a raster.
    """
    path = Path(_plain(name))
    try:
        return next((place for place in (path, *path.parents) if place.is_file()), None)
    except (OSError, ValueError):  # a VRT's own text may stand in the place of a name
        return None


def open_file(name: str) -> IO[bytes]:
    """Open a file of this machine, or one in a zip, without GDAL.

    Args:
        name: What GDAL calls it.

    Raises:
        OSError: If it cannot be opened; also the others of ``UNREADABLE``.
    """
    path, place = Path(_plain(name)), file_on_disk(name)
    kind = re.match(r'(?:/vsi)?(zip|tar|gzip)\b', name)
    if place is None or (place == path and kind is None):
        return path.open('rb')
    if kind is not None and kind[1] == 'gzip':
        return gzip.open(place)
    return _open_member(place, kind is not None and kind[1] == 'tar', path.relative_to(place))


def _open_member(place: Path, in_tar: bool, inside: Path) -> IO[bytes]:
    """Open a file in an archive as GDAL finds it: the first of its name, or the only one."""
    if in_tar:
        archive = tarfile.open(place)  # noqa: SIM115  (what is read keeps it open)
        members = ((each.name, each) for each in archive if each.isfile())
        open_one = archive.extractfile
    else:
        archive = zipfile.ZipFile(place)
        members = ((each.filename, each) for each in archive.infolist() if not each.is_dir())
        open_one = archive.open
    for name, member in members:
        if inside in (Path(), Path(PurePosixPath(name.replace('\\', '/')))):
            return open_one(member)
    raise KeyError(f'{place} has no {inside}')


def _plain(name: str) -> str:
    """A name with the archive in it as if that were a folder."""
    archive = ARCHIVE.fullmatch(name)
    if archive is None:
        return name
    if name.startswith('/vsi'):  # GDAL's own, where other braces and a ! are a folder's
        return re.sub(r'^\{(.*?)\}(?=/|$)', r'\1', archive['inside'])
    return archive['inside'].replace('!', '/')


def _text(name: str) -> bytes:
    """The text that stands for a raster, in a file or in a zip; nothing of a file of pixels."""
    if file_on_disk(name) is None:
        if name.startswith('/vsi') and not name.startswith('/vsimem/'):
            _refuse_unless_pixels(name)
        return name.encode() if name.lstrip().startswith('<') else b''  # GDAL takes a text, too
    try:
        with open_file(name) as file:
            start = file.read(1024)
            words = start.partition(b'\0')[0]  # which every format of pixels has soon
            if b'<' not in words and b'{' not in words:
                return b''
            # piece by piece: a read of so many bytes takes their memory, however short the text is
            pieces = islice(iter(partial(file.read, PIECE_BYTES), b''), TEXT_BYTES // PIECE_BYTES)
            return start + b''.join(pieces)
    except UNREADABLE:
        if ARCHIVE.fullmatch(name):
            _refuse_unless_pixels(name)
        return b''


def _refuse_unless_pixels(name: str) -> None:
    """Refuse what GDAL alone can read, where that might be a text that names addresses.

    Raises:
        ValueError: If it is in none of the formats that name nothing.
    """
    for driver in PIXELS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', NotGeoreferencedWarning)
                return rasterio.open(name, driver=driver).close()
        except RasterioError as error:
            if 'not recognized' not in str(error.__cause__ or error):  # not there, or damaged
                return None
    raise ValueError(
        f'{name} is none of {", ".join(PIXELS)}, and whether it names addresses cannot be seen in '
        'there: unpack it, and give the file.'
    )


def _address_in(name: str) -> str | None:
    """The first address of pixels that a text names."""
    text = _text(name)
    if not text:
        return None
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError:
        parts = [text.decode(errors='replace')]  # a JSON
    else:
        notes = {note for data in root.iter('Metadata') if not data.get('domain') for note in data}
        parts = [part.text or '' for part in root.iter() if part not in notes]
    return next((part.strip() for part in parts if NETWORK.search(part)), None)

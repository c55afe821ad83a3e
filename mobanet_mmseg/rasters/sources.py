"""Says which files a raster is made of, and whether they are still the same.

They are its own, those beside it, and those that a VRT names.
"""

import os
import re
import warnings
from contextlib import suppress
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

ARCHIVE = re.compile(r'(?:/vsi(?:zip|tar|gzip|7z|rar)/|(?:zip|tar|gzip)\+?\w*://)(?P<inside>.*)')
NETWORK = re.compile(r'/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)|\b(?:https?|ftp|s3|gs)://')
BESIDE = ('.aux.xml', '.ovr')

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
    left = [os.fspath(raster) for raster in rasters if raster is not None]
    files: dict[str, Path | None] = {}
    while left:
        name = left.pop()
        if name in files or NETWORK.search(name):
            continue
        files[name] = file_on_disk(name)
        with suppress(RasterioError), warnings.catch_warnings():  # which the reading reports
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(name) as dataset:
                left += dataset.files
    return [path for path in files.values() if path is not None]


def stamps(*rasters: str | Path | None) -> Stamps:
    """Note what tells whether a raster is replaced or rewritten while it is read.

    Statistics and overviews beside it are left out: programs that show it write them.

    Args:
        *rasters: See :func:`files_behind`.
    """
    files = (path for path in files_behind(*rasters) if not path.name.endswith(BESIDE))
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
    archive = ARCHIVE.fullmatch(name)
    path = Path(
        archive['inside'].replace('!', '/').replace('{', '').replace('}', '') if archive else name
    )
    try:
        return next((place for place in (path, *path.parents) if place.is_file()), None)
    except (OSError, ValueError):  # a VRT's own text may stand in the place of a name
        return None

"""Finds rasters in archives: which names lead into one, and what lies there."""

import glob
import re
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from mobanet_mmseg.rasters.files import gdal_name
from mobanet_mmseg.rasters.sources import file_on_disk
from mobanet_mmseg.writing import NO_DISK

INTO = re.compile(r'/vsi(?P<kind>zip|tar)/(?P<place>.+)')
ARCHIVE = re.compile(r'.+?\.(?:zip|kmz|tar|tgz|tar\.gz)(?=/|$)', re.IGNORECASE)


def is_virtual(name: str) -> bool:
    """Whether a name is GDAL's alone: in an archive, in the network, in memory.

    Args:
        name: As a user gives it.
    """
    return NO_DISK.match(name) is not None


def as_raster(name: str) -> str | Path:
    """Name a raster so that it can be opened: a path, or GDAL's own text.

    Args:
        name: As a user gives it.
    """
    return gdal_name(name) if is_virtual(name) else Path(name)


def files_in(name: str) -> list[str]:
    """List the files of the zip or tar that a name leads into, or of those that a pattern does.

    Args:
        name: GDAL's, such as ``/vsizip/tiles.zip/rgb``, or ``zip://tiles.zip!rgb``.

    Returns:
        GDAL's names of the files, folders left out; none where there is no archive.

    Raises:
        ValueError: If an archive cannot be read.
    """
    into = INTO.fullmatch(gdal_name(name))
    if into is None:
        return []
    archive = file_on_disk(into[0])
    archives = [str(archive)] if archive is not None else _matching(into['place'])
    prefix = f'/vsi{into["kind"]}/'
    return [f'{prefix}{path}/{file}' for path in archives for file in _contents(path)]


def lies_in(file: str, folder: str) -> bool:
    """Whether a file is one of a folder's own.

    Args:
        file: From :func:`files_in`.
        folder: GDAL's name of the folder, or the user's.
    """
    return PurePosixPath(file).parent == PurePosixPath(gdal_name(folder))


def _matching(place: str) -> list[str]:
    """Archives on disk that a pattern stands for."""
    archive = ARCHIVE.match(place)
    return [] if archive is None else sorted(glob.glob(archive[0]))  # noqa: PTH207


def _contents(path: str) -> list[str]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return [name for name in archive.namelist() if not name.endswith('/')]
        with tarfile.open(path) as archive:
            return [member.name for member in archive if member.isfile()]
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ValueError(
            f'{path} cannot be read as an archive ({error}): copy or download it again.'
        ) from error

"""Says which files a raster is made of: its own, those beside it, and those that a VRT names."""

import os
import re
import warnings
from contextlib import suppress
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

ARCHIVE = re.compile(r'(?:/vsi(?:zip|tar|gzip|7z|rar)/|(?:zip|tar|gzip)\+?\w*://)(?P<inside>.*)')
NETWORK = re.compile(r'/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)|\b(?:https?|ftp|s3|gs)://')


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
        files[name] = _on_disk(name)
        with suppress(RasterioError), warnings.catch_warnings():  # which the reading reports
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(name) as dataset:
                left += dataset.files
    return [path for path in files.values() if path is not None]


def _on_disk(name: str) -> Path | None:
    """The file of that name, or the archive that the name leads into."""
    archive = ARCHIVE.fullmatch(name)
    path = Path(archive['inside'].replace('!', '/') if archive else name)
    try:
        return next((place for place in (path, *path.parents) if place.is_file()), None)
    except (OSError, ValueError):  # a VRT's own text may stand in the place of a name
        return None

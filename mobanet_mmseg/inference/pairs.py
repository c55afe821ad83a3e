"""Which pairs of rasters are predicted, and where to: files, folders, globs or a CSV."""

import csv
import glob
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mobanet_mmseg.datasets.multimodal import shown
from mobanet_mmseg.rasters.archives import as_raster, files_in, is_virtual, lies_in
from mobanet_mmseg.rasters.files import gdal_name
from mobanet_mmseg.rasters.sources import NETWORK
from mobanet_mmseg.writing import decode

RASTERS = ('.tif', '.tiff', '.jp2', '.img', '.vrt', '.png')  # what of a folder is a raster
OUTPUTS = ('.tif', '.tiff')
MOST_BRACKETS = 8  # pairs in a pattern, of which each is tried
COLUMNS = ('rgb', 'aux', 'out')

Key = tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """What is predicted at a time.

    Args:
        rgb: Optical raster; GDAL's text where it is on no disk.
        aux: Auxiliary raster, likewise; None where there is none.
        out: Label map to write.
    """

    rgb: str | Path
    aux: str | Path | None
    out: Path


def find_pairs(rgb: str, aux: str | None, out: str) -> list[Pair]:
    """Pair optical with auxiliary rasters.

    Two folders are paired by equal stems: ``rgb/a.tif`` with ``aux/a.jp2``. Globs are paired by
    what their wildcards stand for, and a glob with a folder by that and the stem, numbers without
    their leading zeros: ``top_potsdam_*_RGB.tif`` and ``dsm_potsdam_*.tif`` pair 2_10 with 02_10.
    The folders of zips and tars are folders, too.

    Args:
        rgb: A file, a folder, or a glob; on disk, in an archive (``/vsizip/a.zip/b.tif``,
            ``zip://a.zip!b.tif``), or an address that GDAL opens (``/vsicurl/...``).
        aux: The same of the auxiliary rasters: a file with a file, otherwise a folder or a glob;
            None where there are none.
        out: With two files a file, or a folder if it is one or ends in ``/``; otherwise a folder.
            In a folder a label map is ``<stem of rgb>.tif``.

    Returns:
        The pairs, in the order of the optical rasters' paths.

    Raises:
        FileNotFoundError: If a file is missing, or nothing is found.
        ValueError: If the rasters do not pair up one to one, or two label maps would have one name.
    """
    for source in (rgb, aux or rgb):
        if not is_virtual(source) and not _is_several(source) and not Path(source).is_file():
            raise FileNotFoundError(f'{source} does not exist: give a file, a folder or a glob.')
    several = _is_several(rgb)
    if aux is not None and _is_several(aux) != several:
        raise ValueError(
            f'{rgb} and {aux} are one file and several: give two files, or a folder or glob of '
            'each, or a CSV of pairs.'
        )
    if not several:
        pairs = [(as_raster(rgb), None if aux is None else as_raster(aux))]
    elif aux is None:
        pairs = [(path, None) for path in _find(rgb, exact=True).values()]
    else:
        pairs = _match(rgb, aux)
    target = Path(out)
    _check_out(out)
    if not several and not target.is_dir() and not out.endswith('/'):
        return _checked([Pair(*pairs[0], target)])
    if target.is_file() or (several and target.suffix.lower() in OUTPUTS and not target.is_dir()):
        raise ValueError(f'{out} is a file where the folder of the label maps is expected.')
    return _checked(Pair(image, other, target / _map_name(image)) for image, other in pairs)


def _check_out(out: str) -> None:
    """Refuse an output path that can only be a mistake."""
    if not out.strip():
        raise ValueError('--out is empty: give the label map to write, or a folder.')
    wildcards = [name for name in Path(out).parts if '*' in name]
    if wildcards and not Path(out).exists():
        raise ValueError(
            f'{out} has a wildcard, which stands for nothing where files are written: give the '
            'folder of the label maps, which get the names of the optical rasters.'
        )
    blocking = next((path for path in Path(out).parents if path.is_file()), None)
    if blocking is not None:
        raise ValueError(f'{blocking} is a file, so that {out} cannot be written into it.')


def _map_name(image: str | Path) -> str:
    return f'{PurePosixPath(image).stem}.tif'


def read_pairs(csv_path: str | Path, out: str | None = None) -> list[Pair]:
    """Read pairs from a CSV whose first line names its columns: ``rgb``, ``aux`` and ``out``.

    Without a column ``aux`` there are no auxiliary rasters; a line whose cell ``aux`` is empty has
    none. The paths are relative to the folder of the CSV.

    Args:
        csv_path: The file: UTF-8, separated by commas.
        out: Folder of the label maps, ``<stem of rgb>.tif``, if there is no column ``out``.

    Returns:
        The pairs, in the order of the lines.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the CSV has other columns or other empty cells, or is no such file, or says
            where to write beside ``out`` or not at all, or two label maps would have one name.
    """
    csv_path = Path(csv_path)
    rows = _read_csv(csv_path)
    if ('out' in rows[0][1]) == (out is not None):
        raise ValueError(
            f'{csv_path} has {"a" if out else "no"} column out and {out or "no"} folder is given '
            'for the label maps: give one of the two.'
        )
    if out is not None:
        _check_out(out)
    if out is not None and Path(out).is_file():
        raise ValueError(f'{out} is a file where the folder of the label maps is expected.')
    pairs = []
    for line, row in rows:
        paths = {name: _beside(csv_path, cell) for name, cell in row.items() if cell}
        for name in ('rgb', 'aux'):
            if name in paths and isinstance(paths[name], Path) and not paths[name].is_file():
                raise FileNotFoundError(
                    f'{paths[name]} does not exist, which line {line} of {csv_path} names as {name}'
                    ': correct the path, which is relative to the folder of the CSV.'
                )
        target = Path(paths['out'] if out is None else Path(out) / _map_name(paths['rgb']))
        pairs.append(Pair(paths['rgb'], paths.get('aux'), target))
    return _checked(pairs)


def _beside(csv_path: Path, cell: str) -> str | Path:
    """A path of a CSV, which is relative to its folder, that of an archive, too."""
    if not is_virtual(cell):
        return csv_path.parent / cell
    name = gdal_name(cell)
    archive = re.fullmatch(r'(/vsi(?:zip|tar|gzip)/)([^/].*)', name)
    if archive is None or NETWORK.search(name):
        return name
    return f'{archive[1]}{csv_path.parent / archive[2]}'


def _read_csv(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Read the lines of a CSV with their numbers."""
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: give the CSV of the pairs.')
    try:
        lines = io.StringIO(decode(path.read_bytes()), newline='')
        reader = csv.DictReader(lines, skipinitialspace=True, strict=True)
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f'{path} cannot be read as a CSV ({error}): save it as UTF-8 text, separated by commas.'
        ) from error
    if 'rgb' not in columns or set(columns) - set(COLUMNS) or len(set(columns)) < len(columns):
        raise ValueError(
            f'{path} has the columns {columns} in its first line: give rgb and, where they are '
            'wanted, aux and out, separated by commas.'
        )
    for line, row in rows:
        cells = [row[name] or '' for name in columns]
        empty = [name for name in columns if not (row[name] or '').strip()]
        if None in row or None in row.values() or set(empty) - {'aux'}:
            raise ValueError(
                f'Line {line} of {path} has {len(columns)} columns to fill and holds '
                f'{cells + row.get(None, [])}: fill each cell but that of an aux that is missing, '
                'or leave the column out.'
            )
    if not rows:
        raise ValueError(f'{path} has no line below its header: give one per pair.')
    return [(line, {name: row[name].strip() for name in columns}) for line, row in rows]


def _match(rgb: str, aux: str) -> list[tuple[str | Path, str | Path]]:
    """Pair the rasters of two folders or globs."""
    exact = not _is_pattern(rgb) and not _is_pattern(aux)
    images, others = _find(rgb, exact=exact), _find(aux, exact=exact)
    lengths = len(next(iter(images))), len(next(iter(others)))
    if lengths[0] != lengths[1]:
        raise ValueError(
            f'{rgb} has {lengths[0]} wildcards and {aux} {lengths[1]}: give the same number, in '
            'the same order, since rasters are paired by what these stand for.'
        )
    alone = [path for key, path in images.items() if key not in others]
    if alone:
        raise ValueError(
            f'{len(alone)} of {len(images)} optical rasters have no auxiliary one in {aux}: '
            f'{shown(alone)}; add or rename files, or give a CSV of pairs.'
        )
    return [(path, others[key]) for key, path in images.items()]


def _find(source: str, *, exact: bool) -> dict[Key, str | Path]:
    """Find the rasters of a folder or glob, each with what it is paired by.

    Args:
        source: Folder or glob.
        exact: Whether numbers keep their leading zeros.
    """
    found = _matching(source) if _is_pattern(source) else _listed(source)
    keys: dict[Key, str | Path] = {}
    for path in sorted(found):
        key = found[path]
        if not exact:
            key = tuple(re.sub(r'0*(\d+)', r'\1', part) for part in key)
        if key in keys:
            raise ValueError(
                f'{keys[key]} and {path} both stand for {" ".join(key)} in {source}: leave one, or '
                'give a CSV of pairs.'
            )
        keys[key] = path
    if not keys:
        raise FileNotFoundError(
            f'{source} holds no raster ({" ".join(RASTERS)}): check the folder or the glob, and '
            'quote a glob so that the shell leaves it as it is.'
        )
    return keys


def _listed(folder: str) -> dict[str | Path, Key]:
    """The rasters of a folder by their stems."""
    if is_virtual(folder):
        paths = [file for file in files_in(folder) if lies_in(file, folder)]
    else:
        paths = [path for path in Path(folder).iterdir() if path.is_file()]
    names = {path: PurePosixPath(path) for path in paths}
    return {
        path: (name.stem,)
        for path, name in names.items()
        if name.suffix.lower() in RASTERS and not name.name.startswith('.')
    }


def _matching(source: str) -> dict[str | Path, Key]:
    """The rasters that a glob stands for, by what its wildcards stand for."""
    suffix = PurePosixPath(source).suffix
    named = suffix and not glob.has_magic(suffix)  # other suffixes on request alone
    found = {}
    # brackets stand for characters, but in the names of folders that there are
    for pattern in (_literal_folders(source), *_with_brackets(source)):
        captured = _wildcards(gdal_name(pattern))
        found = found or {
            path: captured.fullmatch(_posix(path)).groups(default='')
            for path in _glob(pattern, captured)
            if named or PurePosixPath(path).suffix.lower() in RASTERS
        }
    return found


def _with_brackets(source: str) -> Iterator[str]:
    """The patterns where brackets stand for themselves: one pair of them, then all."""
    found = re.finditer(r'\[\[\]|\[', source)
    starts = [match.start() for match in found if match[0] == '[']  # not one that is escaped
    sets = [{start} for start in starts] if 1 < len(starts) <= MOST_BRACKETS else []
    for literal in (*sets, {*starts}):
        yield ''.join(
            '[[]' if index in literal else character for index, character in enumerate(source)
        )


def _glob(pattern: str, captured: re.Pattern) -> list[str | Path]:
    if is_virtual(pattern):
        return [file for file in files_in(pattern) if captured.fullmatch(_posix(file))]
    paths = [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207
    return [path for path in paths if path.is_file()]


def _posix(path: str | Path) -> str:
    return PurePosixPath(path).as_posix()


def _literal_folders(pattern: str) -> str:
    """Escape the wildcards in the names of folders that there are: ``data[1]/*.tif``."""
    if is_virtual(pattern):
        return pattern
    place, escaped = Path(), Path()
    for name in Path(pattern).parts[:-1]:
        place /= name
        escaped /= glob.escape(name) if place.is_dir() else name
    return str(escaped / Path(pattern).name)


def _wildcards(pattern: str) -> re.Pattern:
    """Translate a glob into an expression that captures what each wildcard stands for."""
    expression = ''
    for part in re.split(r'(\*\*/|\*+|\?|\[[^]]+\])', _posix(pattern)):
        if part in ('[[]', '[*]', '[?]'):  # escaped
            expression += re.escape(part[1])
        elif part == '**/':
            expression += '(?:(.*)/)?'
        elif part == '**':
            expression += '(.*)'
        elif part.startswith('*'):
            expression += '([^/]*)'
        elif part == '?':
            expression += '([^/])'
        elif part.startswith('[') and part.endswith(']'):
            expression += f'({part.replace("[!", "[^")})'
        else:
            expression += re.escape(part)
    return re.compile(expression)


def _is_several(source: str) -> bool:
    if not is_virtual(source):
        return Path(source).is_dir() or _is_pattern(source)
    files = files_in(source)
    named = _posix(gdal_name(source))
    # GDAL opens an archive of one file by the archive's own name
    one = len(files) == 1 and _posix(files[0]).startswith(named) and not _is_pattern(source)
    return bool(files) and not one and named not in map(_posix, files)


def _is_pattern(source: str) -> bool:
    """Whether a name is a glob, and not one of a file or folder that there is."""
    if not glob.has_magic(source):
        return False
    if not is_virtual(source):
        return not Path(source).exists()
    named = _posix(gdal_name(source))
    return not any(f'{_posix(file)}/'.startswith(f'{named}/') for file in files_in(source))


def _checked(pairs: Iterable[Pair]) -> list[Pair]:
    """Refuse outputs that would overwrite each other, or are no GeoTIFFs."""
    pairs = list(pairs)
    written: dict[Path, Pair] = {}
    for pair in pairs:
        target = pair.out.resolve()
        if target in written:
            raise ValueError(
                f'{written[target].rgb} and {pair.rgb} would both be written to {pair.out}: give a '
                'CSV of pairs with a column out.'
            )
        if pair.out.suffix.lower() not in OUTPUTS:
            raise ValueError(
                f'{pair.out} is to be a GeoTIFF: give a name that ends in .tif, or a folder with / '
                'at its end.'
            )
        written[target] = pair
    return pairs

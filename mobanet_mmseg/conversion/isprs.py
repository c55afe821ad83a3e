"""Converts the ISPRS archives, as they are downloaded, to compressed tiles of class indices.

https://www.isprs.org/education/benchmarks/UrbanSemLab/default.aspx
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mobanet_mmseg.classes import IGNORE_INDEX, Classes
from mobanet_mmseg.conversion.archives import Member, find_members
from mobanet_mmseg.conversion.report import Report
from mobanet_mmseg.datasets.isprs import (
    ISPRSArchiveDataset,
    ISPRSPotsdamDataset,
    ISPRSVaihingenDataset,
    Source,
)
from mobanet_mmseg.datasets.loading import UNKNOWN, classes_of
from mobanet_mmseg.datasets.multimodal import IGNORE_COLOR
from mobanet_mmseg.rasters.files import RasterInfo, close_rasters, read_info
from mobanet_mmseg.rasters.geotiff import TILE, Layer, open_geotiffs
from mobanet_mmseg.rasters.grids import check_sizes
from mobanet_mmseg.rasters.ranges import aux_ranges
from mobanet_mmseg.rasters.windows import check_bands, chunks, read_window
from mobanet_mmseg.writing import reporting, write_text

ARCHIVES: dict[str, type[ISPRSArchiveDataset]] = {
    'potsdam': ISPRSPotsdamDataset,
    'vaihingen': ISPRSVaihingenDataset,
}
MANIFEST = 'conversion.json'
SCRATCH = '.unfinished'

Found = dict[str, dict[str, Member]]  # files of each tile, by the folder they are written to


@dataclass(frozen=True)
class Choice:
    """Which rasters of which archive are converted.

    Args:
        archive: ``'potsdam'`` or ``'vaihingen'``.
        optical: Which optical raster, a key of the archive's ``OPTICAL``.
        height: Which auxiliary raster, a key of its ``HEIGHT``.
        labels: ``'eroded'`` or ``'full'``.

    Raises:
        ValueError: If the archive has no such raster.
    """

    archive: str
    optical: str
    height: str
    labels: str

    def __post_init__(self) -> None:  # noqa: D105  (the class's docstring says what it raises)
        for option, choices in self.tables.items():
            if getattr(self, option) not in choices:
                raise ValueError(
                    f'--{option} is {getattr(self, option)}, but {self.archive} has '
                    f'{" and ".join(choices)} only: give one of these.'
                )

    @property
    def dataset(self) -> type[ISPRSArchiveDataset]:
        """The archive's names, splits and classes."""
        return ARCHIVES[self.archive]

    @property
    def tables(self) -> dict[str, dict[str, Source]]:
        """What the archive holds, by the option that chooses of it."""
        dataset = self.dataset
        return {'optical': dataset.OPTICAL, 'height': dataset.HEIGHT, 'labels': dataset.LABELS}

    @property
    def classes(self) -> Classes:
        """The archive's classes."""
        return Classes.of(self.dataset.METAINFO)

    @property
    def bands(self) -> dict[str, tuple[int, ...]]:
        """Bands that are converted, by the folder they are written to."""
        optical = self.dataset.IMG_BANDS.get(self.optical, (1, 2, 3))
        return {'img': optical, 'aux': (1,), 'label': (1, 2, 3)}

    @property
    def sources(self) -> dict[str, Source]:
        """Where each folder that is written comes from."""
        chosen = (table[getattr(self, option)] for option, table in self.tables.items())
        return dict(zip(('img', 'aux', 'label'), chosen, strict=True))

    @property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Tiles of each split."""
        return {'train': self.dataset.TRAIN_TILES, 'test': self.dataset.TEST_TILES}

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """Per tile, the name of the file that each folder's raster comes from."""
        names = {}
        for tile in (*self.dataset.TRAIN_TILES, *self.dataset.TEST_TILES):
            row, _, col = tile.partition('_')
            names[tile] = {
                kind: source.name.format(tile=tile, row=row, col=col)
                for kind, source in self.sources.items()
            }
        return names

    @property
    def unwanted(self) -> set[str]:
        """Folders, in lower case, that hold only what was not chosen."""
        every = {folder for source in self.all_sources for folder in _folders(source)}
        return every - {folder for source in self.sources.values() for folder in _folders(source)}

    @property
    def all_sources(self) -> list[Source]:
        """Everything that the archive holds, chosen or not."""
        return [source for table in self.tables.values() for source in table.values()]


def convert(
    archive: str,
    source: str | Path,
    out: str | Path,
    *,
    optical: str | None = None,
    height: str = 'dsm',
    labels: str = 'eroded',
) -> Report:
    """Convert an archive to ``img/TILE.tif``, ``aux/TILE.tif``, ``label/TILE.tif`` and splits.

    Heights and labels are padded or cropped by their edge to the optical raster's size; labels
    become class indices, 255 where a colour is no class's. Tiles that are complete and were made
    of the same files with the same choices stay as they are, so that a stopped conversion goes on
    where it stopped.

    Args:
        archive: ``'potsdam'`` or ``'vaihingen'``.
        source: Folder of the downloaded zips or of what they hold, or a zip that holds it all.
        out: Folder to write into.
        optical: ``'rgb'``, ``'irrg'`` or ``'rgbir'``; None is the archive's usual one.
        height: ``'dsm'`` or ``'ndsm'``.
        labels: ``'eroded'`` ignores the 3 pixels around each boundary, ``'full'`` does not.

    Raises:
        FileNotFoundError: If there is no such source, or it has no complete tile.
        OSError: If something cannot be written.
        ValueError: If a choice, a zip or a raster does not fit.
    """
    if archive not in ARCHIVES:
        raise ValueError(f'There is no archive {archive!r}: give one of {list(ARCHIVES)}.')
    source, out = Path(source), Path(out)
    optical = optical or next(iter(ARCHIVES[archive].OPTICAL))
    choice = Choice(archive, optical, height, labels)
    wanted = {name.lower() for names in choice.files.values() for name in names.values()}
    with (
        _scratch(out) as scratch,
        find_members(source, scratch, wanted, choice.unwanted) as members,
    ):
        found, missing = _match_tiles(choice, members)
        if not found:
            names = ', '.join(kind.name for kind in choice.sources.values())
            folders = ', '.join(f for kind in choice.sources.values() for f in kind.folders)
            raise FileNotFoundError(
                f'{source} holds no whole tile of {archive}, which is {names} (in {folders}), in '
                'zips or folders: give the folder of the downloads, or choose other rasters by '
                '--optical, --height and --labels.'
            )
        tiles, warnings = _convert_tiles(choice, found, out, scratch)
        for split, names in choice.splits.items():
            stems = ''.join(f'{tile}\n' for tile in names if tile in found)
            write_text(out / f'{split}.txt', stems)
    return _report(choice, out, tiles, missing, warnings)


def _match_tiles(choice: Choice, members: list[Member]) -> tuple[Found, dict[str, list[str]]]:
    """Find the files of each whole tile, and the names that each other tile lacks."""
    by_name: dict[str, list[Member]] = {}
    for member in members:
        by_name.setdefault(member.name.lower(), []).append(member)
    found, missing = {}, {}
    for tile, names in choice.files.items():
        files = {}
        for kind, name in names.items():
            candidates = by_name.get(name.lower(), [])
            ranked = [(_rank(choice, kind, member), member.place, member) for member in candidates]
            ranked = [entry for entry in ranked if entry[0] is not None]
            if ranked:
                files[kind] = min(ranked, key=lambda entry: entry[:2])[-1]
            else:
                missing.setdefault(tile, []).append(name)
        if tile not in missing:
            found[tile] = files
    return found, missing


def _rank(choice: Choice, kind: str, member: Member) -> int | None:
    """Say how usual a member's folder is for a source, 0 most; None if it is another source's.

    Vaihingen's labels have the names of its optical rasters: there the folder decides.
    """
    source = choice.sources[kind]
    same = [other for other in choice.all_sources if other.name == source.name]
    for folder in map(str.lower, member.folders):
        if folder in _folders(source):
            return _folders(source).index(folder)
        if any(folder in _folders(other) for other in same):
            return None
    return len(source.folders) if len(same) == 1 else None


def _folders(source: Source) -> list[str]:
    return [folder.rpartition('/')[2].lower() for folder in source.folders]


def _convert_tiles(
    choice: Choice, found: Found, out: Path, scratch: Path
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Convert the tiles that are not yet; give the manifest's entries, and what will not train."""
    options = asdict(choice)
    done = {
        tile: entry
        for tile, entry in _load_manifest(out / MANIFEST, options).items()
        if tile in found and _is_complete(entry, tile, found[tile], out)
    }
    if done.keys() != found.keys():
        for split in choice.splits:  # a folder of two conversions' tiles trains nothing
            (out / f'{split}.txt').unlink(missing_ok=True)
        # what is about to be replaced is vouched for no longer
        write_text(out / MANIFEST, json.dumps(options | {'tiles': done}))
    warnings = []
    for tile, members in track(found.items(), f'Converting {choice.archive}'):
        if tile not in done:
            done[tile] = _convert_tile(choice, tile, members, out, scratch)
            ordered = {name: done[name] for name in found if name in done}
            write_text(out / MANIFEST, json.dumps(options | {'tiles': ordered}, indent=1))
        try:
            aux_ranges([str(out / 'aux' / f'{tile}.tif')], (1,), 'tile')
        except ValueError as error:  # a tile that cannot be scaled; the others can
            warnings.append(str(error))
    return {tile: done[tile] for tile in found}, warnings


def _convert_tile(
    choice: Choice, tile: str, members: dict[str, Member], out: Path, scratch: Path
) -> dict[str, Any]:
    """Write a tile's rasters; give its entry in the manifest."""
    tally = np.zeros(IGNORE_INDEX + 1, np.int64)
    patched, grid = [], None
    paths = {kind: out / kind / f'{tile}.tif' for kind in members}
    for kind, member in members.items():
        with _readable(member, scratch) as path:
            info = read_info(path)
            check_bands(info, choice.bands[kind])
            # the tile's place is the optical raster's: the others' are missing, or the same
            grid = grid or info
            check_sizes(info, grid)
            if (info.height, info.width) != (grid.height, grid.width):
                patched.append(kind)
            _write(choice, kind, info, grid, paths[kind], member.mtime_ns, tally)
    return {
        'sources': {kind: list(member.stamp) for kind, member in members.items()},
        'bytes': {kind: path.stat().st_size for kind, path in paths.items()},
        'mended': patched,
        'pixels': tally[: len(choice.classes)].tolist(),
        'ignored': int(tally[IGNORE_INDEX]),
        'off_palette': int(tally[UNKNOWN]),
    }


def _write(
    choice: Choice,
    kind: str,
    info: RasterInfo,
    grid: RasterInfo,
    path: Path,
    mtime_ns: int,
    tally: np.ndarray,
) -> None:
    """Write one raster of a tile; count the labels' classes into the tally."""
    bands, shape = choice.bands[kind], (grid.height, grid.width)
    layer = Layer(
        path,
        bands=('',) * len(bands),
        dtype=info.dtype,
        nodata=info.nodata[0],
        layout=TILE,
        mtime_ns=mtime_ns,
    )
    lookup = {colour: index for index, colour in enumerate(choice.classes.palette)}
    lookup[IGNORE_COLOR] = IGNORE_INDEX
    if kind == 'label':
        layer = replace(layer, bands=('',), nodata=IGNORE_INDEX, classes=choice.classes)
    with open_geotiffs([layer], grid) as (file,):
        for window in chunks(replace(info, height=grid.height, width=grid.width)):
            pixels = read_window(info.path, bands, window, shape)
            if kind == 'label':
                labels = classes_of(pixels, lookup)
                tally += np.bincount(labels.ravel(), minlength=len(tally))
                labels[labels == UNKNOWN] = IGNORE_INDEX
                pixels = labels[..., None]
            file.write(np.moveaxis(pixels, -1, 0))


@contextmanager
def _readable(member: Member, scratch: Path) -> Iterator[Path]:
    """Give a member's path; what is wrong with it is said of the place where the user has it."""
    with member.on_disk(scratch) as path:
        try:
            yield path
        except ValueError as error:
            sentence = str(error).replace(str(path), member.place)
            if member.place not in sentence:
                sentence = f'{member.place}: {sentence}'
            raise ValueError(sentence) from error
        finally:
            close_rasters()


def _load_manifest(path: Path, options: dict[str, str]) -> dict[str, Any]:
    """Entries of the tiles that were converted with these options; none if there is no such."""
    try:
        stored = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    same = isinstance(stored, dict) and options.items() <= stored.items()
    return stored['tiles'] if same else {}


def _is_complete(entry: dict[str, Any], tile: str, members: dict[str, Member], out: Path) -> bool:
    if entry['sources'] != {kind: list(member.stamp) for kind, member in members.items()}:
        return False
    paths = {kind: out / kind / f'{tile}.tif' for kind in members}
    return all(p.is_file() and p.stat().st_size == entry['bytes'][k] for k, p in paths.items())


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Make a folder to unpack into, and remove what a killed conversion left unfinished."""
    scratch = out / SCRATCH
    with reporting(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        for unfinished in (*out.glob('.*.part*'), *out.glob('*/.*.part*')):
            unfinished.unlink()
        scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _report(
    choice: Choice,
    out: Path,
    tiles: dict[str, dict[str, Any]],
    missing: dict[str, list[str]],
    warnings: list[str],
) -> Report:
    splits = {split: [n for n in names if n in tiles] for split, names in choice.splits.items()}
    pixels = {split: np.zeros(len(choice.classes) + 1, np.int64) for split in splits}
    for split, names in splits.items():
        for entry in (tiles[name] for name in names):
            pixels[split] += [*entry['pixels'], entry['ignored'] + entry['off_palette']]
    patched = [f'{name} ({" and ".join(t["mended"])})' for name, t in tiles.items() if t['mended']]
    colours = {name: tile['off_palette'] for name, tile in tiles.items() if tile['off_palette']}
    notes = []
    if patched:
        notes.append(f'padded or cropped to the optical raster: {", ".join(patched)}')
    if colours:
        total = sum(colours.values())
        notes.append(f'pixels off-palette, which are no label: {total} in {", ".join(colours)}')
    return Report(
        out,
        choice.classes.names,
        splits,
        pixels,
        {'a file is missing': len(missing)} if missing else {},
        notes,
        [
            f'tile {tile} is missing: {", ".join(names)} was not found; the splits leave it out.'
            for tile, names in missing.items()
        ]
        + warnings,
        'its tiles are missing, or have none',
    )

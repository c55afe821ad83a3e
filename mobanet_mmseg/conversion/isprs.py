"""Converts the ISPRS archives, as they are downloaded, to compressed tiles of class indices.

https://www.isprs.org/education/benchmarks/UrbanSemLab/default.aspx
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.conversion.archives import Member, find_members
from mobanet_mmseg.conversion.cutting import FOLDERS
from mobanet_mmseg.conversion.isprs_sources import ARCHIVES, Choice, Found, match_tiles
from mobanet_mmseg.conversion.report import Report
from mobanet_mmseg.datasets.loading import UNKNOWN, read_classes
from mobanet_mmseg.datasets.multimodal import IGNORE_COLOR
from mobanet_mmseg.folders import OWN, Ledger, kept_folder
from mobanet_mmseg.rasters.files import RasterInfo, close_rasters, open_raster, read_info
from mobanet_mmseg.rasters.geotiff import TILE, Layer, open_geotiffs
from mobanet_mmseg.rasters.grids import check_sizes
from mobanet_mmseg.rasters.ranges import aux_ranges
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.rasters.warping import float_type
from mobanet_mmseg.rasters.windows import check_bands, chunks, read_window, read_with_validity
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.writing import check_outputs, reporting, write_text

TOOL = 'isprs.py'
SCRATCH = f'{OWN}unpacked'
UNFINISHED = re.compile(r'\.\w+\.(?:tif|txt|json)\.\d+\.part.*')
ENTRY = {'sources', 'mended', 'pixels', 'ignored', 'off_palette'}  # of a tile in the mark


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
        kept_folder(out, TOOL) as ledger,
        _scratch(out) as scratch,
        find_members(source, scratch, wanted, choice.unwanted) as members,
    ):
        found, missing = match_tiles(choice, members)
        if not found:
            names = ', '.join(kind.name for kind in choice.sources.values())
            folders = ', '.join(f for kind in choice.sources.values() for f in kind.folders)
            raise FileNotFoundError(
                f'{source} holds no whole tile of {archive}, which is {names} (in {folders}), in '
                'zips or folders: give the folder of the downloads, or choose other rasters by '
                '--optical, --height and --labels.'
            )
        _check_outputs(found, out)
        tiles, warnings = _convert_tiles(choice, found, ledger, scratch)
        _write_splits(choice, found, ledger)
    return _report(choice, out, tiles, missing, warnings)


def _check_outputs(found: Found, out: Path) -> None:
    outputs = [out / name for tile, members in found.items() for name in _names(tile, members)]
    places = [member.place for members in found.values() for member in members.values()]
    check_outputs(outputs, files_behind(*places))


def _names(tile: str, kinds: Iterable[str]) -> list[str]:
    return [f'{kind}/{tile}.tif' for kind in kinds]


def _convert_tiles(
    choice: Choice, found: Found, ledger: Ledger, scratch: Path
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Convert the tiles that are not yet; give the mark's entries, and what will not train."""
    options, out = asdict(choice), ledger.folder
    done = {
        tile: entry
        for tile, entry in _stored_tiles(ledger, options).items()
        if tile in found and _is_complete(entry, tile, found[tile], ledger)
    }
    if done.keys() != found.keys():
        _forget(choice, {tile: found[tile] for tile in found if tile not in done}, ledger)
        ledger.facts = options | {'tiles': done}
        ledger.save()
    warnings = []
    for tile, members in track(found.items(), f'Converting {choice.archive}'):
        if tile not in done:
            done[tile] = _convert_tile(choice, tile, members, out, scratch)
            ledger.add(_names(tile, members))
            ordered = {name: done[name] for name in found if name in done}
            ledger.facts = options | {'tiles': ordered}
            ledger.save()
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
    masked = open_raster(info.path).masked or bool(info.alpha)
    measured = kind == 'aux' and (masked or bool(info.scales))
    layer = Layer(
        path,
        bands=('',) * len(bands),
        dtype=float_type(info, bands).name if measured else info.dtype_of(bands),
        nodata=np.nan if measured else info.common_nodata(bands),
        layout=TILE,
        mtime_ns=mtime_ns,
    )
    if kind == 'label':
        layer = replace(layer, bands=('',), nodata=IGNORE_INDEX, classes=choice.classes)
    valid = np.ones(shape, bool)
    with open_geotiffs([layer], grid) as (file,):
        for window in chunks(replace(info, height=grid.height, width=grid.width)):
            if kind == 'label':
                pixels = _read_label(choice, info.path, window, shape, tally)
            elif kind == 'img':
                pixels, valid[window.rows] = read_with_validity(info.path, bands, window, shape)
            else:
                pixels = read_window(info.path, bands, window, shape, measured=measured)
            file.write(np.moveaxis(pixels, -1, 0))
        if not valid.all() and (masked or layer.nodata is None):
            file.write_mask(valid)


def _read_label(
    choice: Choice, path: str, window: Window, shape: tuple[int, int], tally: np.ndarray
) -> np.ndarray:
    """Read (h, w, 1) class indices, and count them into the tally."""
    lookup = {colour: index for index, colour in enumerate(choice.classes.palette)}
    labels, _ = read_classes(path, lookup | {IGNORE_COLOR: IGNORE_INDEX}, window, shape)
    tally += np.bincount(labels.ravel(), minlength=len(tally))
    labels[labels == UNKNOWN] = IGNORE_INDEX
    return labels[..., None]


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


def _stored_tiles(ledger: Ledger, options: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Entries of the tiles that were converted with these options."""
    tiles = ledger.facts.get('tiles')
    if not isinstance(tiles, dict) or not options.items() <= ledger.facts.items():
        return {}
    return {
        tile: entry
        for tile, entry in tiles.items()
        if isinstance(entry, dict) and entry.keys() >= ENTRY
    }


def _is_complete(
    entry: dict[str, Any], tile: str, members: dict[str, Member], ledger: Ledger
) -> bool:
    if entry['sources'] != {kind: list(member.stamp) for kind, member in members.items()}:
        return False
    return all(map(ledger.has, _names(tile, members)))


def _forget(choice: Choice, unfinished: Found, ledger: Ledger) -> None:
    """Make way for the rasters of tiles: what is replaced is vouched for no longer."""
    rasters = [name for tile, members in unfinished.items() for name in _names(tile, members)]
    damaged = [name for name in rasters if name in ledger.files and not ledger.owns(name)]
    ledger.files |= dict.fromkeys(name for name in damaged if not _is_raster(ledger.folder / name))
    splits = [f'{split}.txt' for split in choice.splits]
    ledger.expect([*rasters, *splits])
    for name in splits:  # a folder of two conversions' tiles trains nothing
        (ledger.folder / name).unlink(missing_ok=True)


def _is_raster(path: Path) -> bool:
    try:
        read_info(path)
    except ValueError:
        return False
    return True


def _write_splits(choice: Choice, found: Found, ledger: Ledger) -> None:
    texts = {
        f'{split}.txt': ''.join(f'{tile}\n' for tile in names if tile in found)
        for split, names in choice.splits.items()
    }
    texts = {name: text for name, text in texts.items() if not ledger.has(name, text)}
    if texts:
        ledger.expect(texts)
        for name, text in texts.items():
            write_text(ledger.folder / name, text)
        ledger.add(texts)
        ledger.save()


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Make a folder to unpack into, and remove what a killed conversion left unfinished."""
    scratch = out / SCRATCH
    with reporting(out):
        shutil.rmtree(scratch, ignore_errors=True)
        for kind in ('', *FOLDERS):
            for path in (out / kind).glob('.*.part*'):
                if UNFINISHED.fullmatch(path.name):
                    path.unlink()
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

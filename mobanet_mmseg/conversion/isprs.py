"""Converts the ISPRS archives, as they are downloaded, to compressed tiles of class indices.

https://www.isprs.org/education/benchmarks/UrbanSemLab/default.aspx
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.conversion.archives import Member, find_members
from mobanet_mmseg.conversion.isprs_files import ARCHIVES, Choice, match_tiles
from mobanet_mmseg.conversion.report import Report
from mobanet_mmseg.datasets.loading import UNKNOWN, classes_of
from mobanet_mmseg.datasets.multimodal import IGNORE_COLOR, IGNORE_INDEX
from mobanet_mmseg.rasters.files import close_rasters
from mobanet_mmseg.rasters.geotiff import ROWS, TILE, Layer, open_geotiffs
from mobanet_mmseg.rasters.ranges import aux_statistics
from mobanet_mmseg.rasters.windows import check_bands, check_sizes, read_info, read_window
from mobanet_mmseg.writing import write_text

MANIFEST = 'conversion.json'
SCRATCH = '.unfinished'


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
    with _scratch(out) as scratch, ExitStack() as stack:
        wanted = {name.lower() for names in choice.files.values() for name in names.values()}
        members = stack.enter_context(find_members(source, scratch, wanted, choice.unwanted))
        found, missing = match_tiles(choice, members)
        if not found:
            names = ', '.join(kind.name for kind in choice.sources.values())
            folders = ', '.join(f for kind in choice.sources.values() for f in kind.folders)
            raise FileNotFoundError(
                f'{source} holds no whole tile of {archive}, which is {names} (in {folders}), in '
                'zips or folders: give the folder of the downloads, or choose other rasters by '
                '--optical, --height and --labels.'
            )
        report = Report(choice.dataset.METAINFO['classes'], {}, missing)
        _convert_tiles(choice, found, out, scratch, report)
        for split, tiles in choice.splits.items():
            stems = ''.join(f'{tile}\n' for tile in tiles if tile in found)
            write_text(out / split, stems)
    return report


def _convert_tiles(
    choice: Choice,
    found: dict[str, dict[str, Member]],
    out: Path,
    scratch: Path,
    report: Report,
) -> None:
    options = {name: getattr(choice, name) for name in ('archive', 'optical', 'height', 'labels')}
    stored = _load_manifest(out / MANIFEST, options)
    done = {
        tile: entry
        for tile, entry in stored.items()
        if tile in found and _is_complete(entry, tile, found[tile], out)
    }
    if done.keys() != found.keys():
        for split in choice.splits:  # a folder of two conversions' tiles trains nothing
            (out / split).unlink(missing_ok=True)
        # what is about to be replaced is vouched for no longer
        write_text(out / MANIFEST, json.dumps(options | {'tiles': done}))
    for tile, members in track(found.items(), f'Converting {choice.archive}'):
        if tile not in done:
            done[tile] = _convert_tile(choice, tile, members, out, scratch)
            ordered = {name: done[name] for name in found if name in done}
            manifest = json.dumps(options | {'tiles': ordered}, indent=1)
            write_text(out / MANIFEST, manifest)
        try:
            aux_statistics([str(out / 'aux' / f'{tile}.tif')])
        except ValueError as error:  # a tile that cannot be scaled; the others can
            report.warnings.append(str(error))
    report.tiles.update({tile: done[tile] for tile in found})


def _convert_tile(
    choice: Choice, tile: str, members: dict[str, Member], out: Path, scratch: Path
) -> dict[str, Any]:
    """Write a tile's rasters; give its entry in the manifest."""
    name = f'{tile}.tif'
    bands = {
        'img': choice.dataset.IMG_BANDS.get(choice.optical, (1, 2, 3)),
        'aux': (1,),
        'label': (1, 2, 3),
    }
    tally = np.zeros(UNKNOWN + 2, np.int64)
    mended = []
    for kind, member in members.items():
        with _readable(member, scratch) as path:
            info = read_info(path)
            check_bands(info, bands[kind])
            if kind == 'img':
                # the tile's place is the optical raster's: the others' are missing, or the same
                grid = info
            check_sizes(info, grid)
            shape = grid.height, grid.width
            if (info.height, info.width) != shape:
                mended.append(kind)
            strips = _strips(path, bands[kind], shape)
            layer = Layer(
                out / kind / name,
                ('',) * len(bands[kind]),
                info.dtype,
                info.nodata[0],
                layout=TILE,
                mtime_ns=member.mtime_ns,
            )
            if kind == 'label':
                strips = _class_strips(strips, choice, tally)
                classes = Classes.of(choice.dataset.METAINFO)
                layer = Layer(layer.path, classes=classes, layout=TILE, mtime_ns=member.mtime_ns)
            with open_geotiffs([layer], grid) as (file,):
                for strip in strips:
                    file.write(np.moveaxis(strip, -1, 0))
    return {
        'sources': {kind: list(member.stamp) for kind, member in members.items()},
        'bytes': {kind: (out / kind / name).stat().st_size for kind in members},
        'mended': mended,
        'pixels': tally[: len(choice.dataset.METAINFO['classes'])].tolist(),
        'ignored': int(tally[IGNORE_INDEX]),
        'off_palette': int(tally[UNKNOWN]),
    }


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


def _strips(path: Path, bands: tuple[int, ...], shape: tuple[int, int]) -> Iterator[np.ndarray]:
    for row in range(0, shape[0], ROWS):
        window = (row, 0, min(ROWS, shape[0] - row), shape[1])
        yield read_window(path, bands, window, shape)


def _class_strips(
    strips: Iterator[np.ndarray], choice: Choice, tally: np.ndarray
) -> Iterator[np.ndarray]:
    """Turn colours into class indices, and count each into the tally."""
    palette = choice.dataset.METAINFO['palette']
    lookup = {tuple(colour): index for index, colour in enumerate(palette)}
    for colours in strips:
        labels = classes_of(colours, {**lookup, IGNORE_COLOR: IGNORE_INDEX})
        tally += np.bincount(labels.ravel(), minlength=len(tally))
        labels[labels == UNKNOWN] = IGNORE_INDEX
        yield labels[..., None]


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
    """Make the folder of what is unfinished, without what a killed conversion left of it."""
    scratch = out / SCRATCH
    try:
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        for unfinished in (*out.glob('.*.part'), *out.glob('*/.*.part')):
            unfinished.unlink()
        scratch.mkdir()
    except OSError as error:
        raise OSError(
            f'{out} cannot be written into ({error.strerror}): give --out a folder, new or of '
            'your own.'
        ) from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

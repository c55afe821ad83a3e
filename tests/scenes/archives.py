"""Made ISPRS archives, zipped as they are downloaded."""

import zipfile
from pathlib import Path

import numpy as np
from scenes.rasters import PALETTE, random_tile, write_raster

SHAPE = (270, 530)  # more than one block each way
OFF_PALETTE = 7  # pixels
VAIHINGEN = 'ISPRS_semantic_labeling_Vaihingen'


def zip_folder(folder: Path, path: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack a folder's content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for file in sorted(folder.rglob('*')):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def write_potsdam_folders(root: Path, shape: tuple[int, int] = SHAPE) -> None:
    """Write 2_10, 3_11 (DSM a row short), 2_13 (DSM a column short), and 3_13 without a DSM.

    The labels are in the folders of both downloads; 2_13's holds colours of no class.
    """
    for seed, tile in enumerate(('2_10', '3_11', '2_13', '3_13')):
        optical, heights, labels = random_tile(shape, seed)
        row, col = tile.split('_')
        height = f'dsm_potsdam_{int(row):02}_{int(col):02}'
        heights = {'3_11': heights[:-1], '2_13': heights[:, :-1]}.get(tile, heights)
        write_raster(root / f'2_Ortho_RGB/2_Ortho_RGB/top_potsdam_{tile}_RGB.tif', optical)
        four = np.dstack([optical, optical[..., 0] // 2])
        write_raster(root / f'4_Ortho_RGBIR/top_potsdam_{tile}_RGBIR.tif', four)
        if tile != '3_13':
            write_raster(root / f'1_DSM/{height}.tif', heights)
        write_raster(
            root / f'1_DSM_normalisation/{height}_normalized_lastools.jpg',
            heights.astype(np.uint8),
            driver='JPEG',
            interleave='band',
            quality=95,
        )
        colours = PALETTE[labels]
        if tile == '2_13':
            colours[5, :OFF_PALETTE] = (12, 200, 7)
            colours[6, :9] = 0
        full = '5_Labels_all' if tile in ('2_13', '3_13') else '5_Labels_for_participants'
        write_raster(root / full / f'top_potsdam_{tile}_label.tif', colours)
        eroded = full + ('_noBoundary' if full == '5_Labels_all' else '_no_Boundary')
        write_raster(root / eroded / f'top_potsdam_{tile}_label_noBoundary.tif', colours)


def write_potsdam_zip(folders: Path, path: Path) -> Path:
    """Pack each folder into a zip, and these into one: DSMs compressed twice, the others stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for folder in sorted(folders.iterdir()):
            inner = zip_folder(folder, path.parent / f'{folder.name}.zip')
            twice = zipfile.ZIP_DEFLATED if folder.name == '1_DSM' else zipfile.ZIP_STORED
            archive.write(inner, f'Potsdam/{inner.name}', twice)
            inner.unlink()
    return path


def write_vaihingen_zips(root: Path) -> None:
    """Write areas 1 and 2 as two zips: the images, and the labels under the images' names."""
    for seed, area in enumerate(('1', '2')):
        optical, heights, labels = random_tile(SHAPE, seed)
        name = f'top_mosaic_09cm_area{area}'
        write_raster(root / f'images/top/{name}.tif', optical)
        write_raster(root / f'images/dsm/dsm_09cm_matching_area{area}.tif', heights)
        participants = 'gts_for_participants'
        write_raster(root / f'images/{participants}/{name}.tif', PALETTE[5 - labels])
        write_raster(root / f'full/{name}.tif', PALETTE[labels])
        write_raster(root / f'eroded/{name}_noBoundary.tif', PALETTE[labels])
    zips = root / 'zips'
    zip_folder(root / 'images', zips / f'{VAIHINGEN}.zip')
    zip_folder(root / 'full', zips / f'{VAIHINGEN}_ground_truth_COMPLETE.zip')
    zip_folder(root / 'eroded', zips / f'{VAIHINGEN}_ground_truth_eroded_COMPLETE.zip')

"""No tool writes over what it reads."""

import shutil

import numpy as np
import pytest
import rasterio.shutil
from scenes import channel_reader
from scenes.archives import write_potsdam_folders
from scenes.checked_tiles import tiles_config
from scenes.commands import run_tool
from scenes.label_maps import write_label_map
from scenes.pairs import heights, optical
from scenes.paths import ROOT
from scenes.rasters import write_raster

TOOLS = ROOT / 'tools'
# they write a new folder, tables on the screen, or files in a folder of the system's own
HARMLESS = {
    'make_synthetic_isprs.py',
    'train.py',
    'misc/config.py',
    'misc/mmseg_tool.py',
    'analysis_tools/count_parameters.py',
    'analysis_tools/benchmark.py',
    'analysis_tools/benchmark_loader.py',
    'analysis_tools/benchmark_prediction.py',
    'analysis_tools/run_study.py',
    'benchmark_table.py',
}
# tests/commands/test_compare.py, test_calibrate.py
ELSEWHERE = {'analysis_tools/compare.py', 'analysis_tools/calibrate.py'}


def with_experiment(folder, *arguments):
    channel_reader.write_experiment(folder, channel=0)
    rasterio.shutil.copy(folder / 'data/label/tile.tif', folder / 'data/tile.png', driver='PNG')
    return ['config.py', 'model.pth', *arguments]


def with_linked(folder, name):
    """An experiment whose checkpoint has the name of an output, too."""
    arguments = with_experiment(folder)
    (folder / name).hardlink_to(folder / 'model.pth')
    return arguments


def with_curves(folder):
    return with_linked(folder, 'degradation.md')


def with_run(folder):
    return ['--run', 'one', *with_experiment(folder)]


def with_tiles(folder, *arguments):
    """Tiles whose labels are PNGs, some of them under the names of pictures, too."""
    config = tiles_config(folder, seg_map_suffix='.png')
    for path in (folder / 'labels').iterdir():
        rasterio.shutil.copy(path, path.with_suffix('.png'), driver='PNG')
    (folder / 'labels/000_b.png').hardlink_to(folder / 'labels/b.png')
    (folder / 'train').mkdir()
    (folder / 'train/a.png').hardlink_to(folder / 'labels/a.png')
    (folder / 'config.py').write_text(config.pretty_text)
    return ['config.py', *arguments]


def with_weights(folder):
    (folder / 'a.pth').write_bytes(b'weights')
    return ['a.pth', 'a.pth']


def with_weights_of_a_config(folder):
    return ['config.py', *with_weights(folder)]


def with_map(folder):
    """A label map that is, by links, what is made of it."""
    path = write_label_map(folder / 'map.tif')
    (folder / 'map_classes.csv').hardlink_to(path)
    (folder / 'zones.gpkg').hardlink_to(path)
    return ['map.tif']


def with_exported(folder):
    with_weights(folder)
    (folder / 'a.onnx').hardlink_to(folder / 'a.pth')
    return ['config.py', 'a.pth', '--out', 'a.onnx']


def with_pair(folder):
    files = optical(folder), heights(folder)
    return ['--rgb', files[0], '--aux', files[1], '--out', '.', '--tile', '20', '--overwrite']


def with_scenes(folder):
    names = {'images': '-ortho.tif', 'elevations': '-elev.tif', 'labels': '-label.png'}
    for place, end in names.items():
        write_raster(folder / 'in' / place / f'a{end}', np.ones((20, 30, 3), np.uint8))
    return ['in', '--out', 'in/labels', '--overwrite']


def with_archive(folder):
    """An archive one of whose rasters is, by a link, the tile that is to be written."""
    write_potsdam_folders(folder / 'in')
    (folder / 'out/img').mkdir(parents=True)
    (source,) = (folder / 'in').rglob('top_potsdam_2_10_RGB.tif')
    shutil.move(source, folder / 'out/img/2_10.tif')
    source.hardlink_to(folder / 'out/img/2_10.tif')
    (folder / 'out/conversion.json').write_text('{"tool": "isprs.py", "files": {}}')
    return ['potsdam', 'in', '--out', 'out']


PAIR = ('--rgb', 'data/img/tile.tif', '--aux', 'data/aux/tile.tif')
COMMANDS = {
    'labels': ('predict.py', with_experiment, *PAIR, '--out', 'data/aux/tile.tif'),
    'picture': (
        'predict.py', with_experiment, *PAIR, '--out', 'a.tif', '--label', 'data/tile.png',
        '--picture', 'data/tile.png'),
    'maps': ('test.py', with_experiment, '--out', 'data/aux'),
    'report': ('analysis_tools/modality_report.py', with_experiment, '--out', 'data/aux/tile.tif'),
    'report over the checkpoint': (
        'analysis_tools/modality_report.py', with_experiment, '--out', 'model.pth'),
    'report over the config': (
        'analysis_tools/modality_report.py', with_experiment, '--out', 'config.py'),
    'curves': ('analysis_tools/degradation.py', with_curves, '--out', '.'),
    'gates': ('analysis_tools/gate_report.py', with_experiment, *PAIR, '--out', 'data/aux'),
    'responses': (
        'analysis_tools/response_maps.py', with_run, *PAIR, '--label', 'data/tile.png',
        '--class', 'house', '--out', 'data/tile.png'),
    'numbers': ('misc/check_data.py', with_tiles, '--json', 'rgb/a.tif'),
    'numbers over the config': ('misc/check_data.py', with_tiles, '--json', 'config.py'),
    'pictures of tiles': ('misc/check_data.py', with_tiles, '--pictures', '.'),
    'samples': (
        'analysis_tools/browse_dataset.py', with_tiles, '--out', 'labels', '--split', 'val'),
    'exported network': ('export_onnx.py', with_exported),
    'encoder': ('model_converters/encoder_weights.py', with_weights),
    'checkpoint': ('model_converters/released2mobanet.py', with_weights),
    'a stream': ('model_converters/merge_lora.py', with_weights_of_a_config, '--stream', 'rgb'),
    'whole checkpoint': ('misc/merge_checkpoint.py', with_weights_of_a_config),
    'published checkpoint': ('misc/publish_checkpoint.py', with_weights),
    'class areas': ('analysis_tools/vectorize.py', with_map, '--statistics'),
    'polygons': ('analysis_tools/vectorize.py', with_map, '--polygons', 'zones.gpkg'),
    'tiles': ('dataset_converters/raster_pair.py', with_pair),
    'scenes': ('dataset_converters/dronedeploy.py', with_scenes),
    'archive': ('dataset_converters/isprs.py', with_archive),
}  # fmt: skip


def test_each_tool_is_tried():
    known = {path.relative_to(TOOLS).as_posix() for path in TOOLS.rglob('*.py')}
    assert known == HARMLESS | ELSEWHERE | {tool for tool, *_ in COMMANDS.values()}


@pytest.mark.parametrize('name', COMMANDS)
def test_no_tool_writes_over_what_it_reads(data, monkeypatch, capsys, name):
    tool, prepare, *options = COMMANDS[name]
    arguments = [*prepare(data), *options]
    before = {path: path.read_bytes() for path in data.rglob('*.*') if path.is_file()}
    monkeypatch.chdir(data)
    run = run_tool
    if arguments[:2] == ['config.py', 'model.pth']:
        arguments = arguments[2:]
        run = lambda patch, *rest: channel_reader.run(patch, data, *rest)  # noqa: E731
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tool, *arguments)
    said = f'{ended.value.code} {capsys.readouterr().err}'
    assert 'would be written over' in said or ', which is written: give another folder' in said
    after = {path: path.read_bytes() for path in before}
    assert after == before

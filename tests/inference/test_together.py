"""One raster in several processes, for which threads stand in."""

import numpy as np
import pytest
import rasterio
from scenes.ranks import EVERY_MAP, files_of, hidden_in, inferencer_of, write_noise

from mobanet_mmseg.inference import predict, reading, together
from mobanet_mmseg.inference.ranks import OtherRankError


@pytest.mark.parametrize(
    ('world_size', 'settings'),
    [
        (2, {}),
        (3, {'batch_size': 7}),  # rows of 4 windows: a batch leaves some over
        (3, {'batch_size': 9, 'blend': 'gaussian', 'stride': (3, 5)}),
        (5, {'blend': 'cosine', 'stride': (16, 24), 'tta': 'flips'}),
    ],
)
def test_several_processes_write_the_bytes_of_one(noise, tmp_path, threads, world_size, settings):
    inferencer = inferencer_of(noise, **settings)
    goals = {name: tmp_path / f'{name}.tif' for name in ('one', 'many')}
    pair = noise['rgb'], noise['aux']
    counts = inferencer.predict_file(*pair, goals['one'], cog=True, **EVERY_MAP)
    many = threads(world_size)
    results = many.run(lambda: inferencer.predict_file(*pair, goals['many'], cog=True, **EVERY_MAP))
    np.testing.assert_array_equal(results[0], counts)
    assert sum(share.sum() for share in results[1:]) < 150 * 53
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


@pytest.mark.parametrize('cog', [False, True])
@pytest.mark.parametrize('batch_size', [4, 300])  # 57 windows in a row, 22 in a band
def test_wide_rasters_are_joined_in_the_order_of_their_bands(
    noise, tmp_path, threads, monkeypatch, batch_size, cog
):
    monkeypatch.setattr(predict, 'BAND_BYTES', 0)
    monkeypatch.setattr(predict, 'BAND_WINDOWS', 1)
    write_noise(noise['rgb'], noise['aux'], 90, width=700)
    inferencer = inferencer_of(noise, batch_size=batch_size)
    with inferencer.open_pair(noise['rgb'], noise['aux']) as pair:
        strips = predict.plan_raster(inferencer.model, pair, inferencer.settings)
    assert len({strip.done.col for strip in strips}) == 3
    goals = {name: tmp_path / f'{name}.tif' for name in ('one', 'many')}
    options = {'cog': cog, **EVERY_MAP}
    inferencer.predict_file(noise['rgb'], noise['aux'], goals['one'], **options)
    many = threads(3)
    many.run(lambda: inferencer.predict_file(noise['rgb'], noise['aux'], goals['many'], **options))
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


def test_some_processes_may_have_no_strip(scene, tmp_path, threads):
    inferencer = inferencer_of(scene, batch_size=8)  # 37 rows: 2 strips
    pair = scene['rgb'], scene['aux']
    inferencer.predict_file(*pair, tmp_path / 'one.tif', **EVERY_MAP)
    results = threads(4).run(
        lambda: inferencer.predict_file(*pair, tmp_path / 'many.tif', **EVERY_MAP)
    )
    assert [result.sum() > 0 for result in results] == [True, True, False, True]
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


def test_a_batch_size_tried_by_each_is_the_first_ones(noise, tmp_path, threads):
    inferencers = [inferencer_of(noise, batch_size=size) for size in (4, 13)]
    pair = noise['rgb'], noise['aux']
    inferencers[0].predict_file(*pair, tmp_path / 'one.tif', **EVERY_MAP)
    two = threads(2)
    two.run(lambda: inferencers[two.rank()].predict_file(*pair, tmp_path / 'many.tif', **EVERY_MAP))
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')


def test_the_range_of_the_auxiliary_raster_is_found_by_one(noise, tmp_path, threads, monkeypatch):
    found = []
    aux_ranges = reading.aux_ranges

    def note(paths, bands, aux_range, **options):
        found.append(aux_range)
        return aux_ranges(paths, bands, aux_range, **options)

    monkeypatch.setattr(reading, 'aux_ranges', note)
    inferencer = inferencer_of(noise)
    goal = tmp_path / 'many.tif'
    threads(3).run(lambda: inferencer.predict_file(noise['rgb'], noise['aux'], goal))
    with rasterio.open(noise['aux']) as aux:
        heights = aux.read(1)
    assert found == ['tile', *[((heights.min(),), (heights.max(),))] * 2]


@pytest.mark.parametrize('failing', [0, 1, 2])
@pytest.mark.parametrize('what', ['open', 'predict', 'write'])
def test_a_process_that_fails_ends_all_and_leaves_nothing(
    noise, tmp_path, threads, monkeypatch, failing, what
):
    inferencer = inferencer_of(noise)
    three = threads(3)
    before = sorted(tmp_path.iterdir())

    def fail_in(module: object, name: str) -> None:
        function = getattr(module, name)

        def failing_function(*args, **kwargs):
            if three.rank() == failing:
                raise OSError('no space')
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, failing_function)

    fail_in(
        *{
            'open': (inferencer, 'open_pair'),
            'predict': (together, 'predict_rows'),
            'write': (together, 'write_rows'),
        }[what]
    )
    results = three.run(
        lambda: inferencer.predict_file(
            noise['rgb'], noise['aux'], tmp_path / 'out.tif', **EVERY_MAP
        )
    )
    assert [type(result) for result in results].count(OSError) == 1
    assert isinstance(results[failing], OSError)
    assert [type(result) for result in results].count(OtherRankError) == 2
    assert sorted(tmp_path.iterdir()) == before


def test_joining_that_fails_ends_all_and_leaves_what_was_there(
    noise, tmp_path, threads, monkeypatch
):
    inferencer = inferencer_of(noise)
    (tmp_path / 'out.tif').write_bytes(b'older')
    before = sorted(tmp_path.iterdir())

    def fail(*_):
        raise OSError('no space')

    monkeypatch.setattr(together, '_read', fail)
    results = threads(3).run(
        lambda: inferencer.predict_file(noise['rgb'], noise['aux'], tmp_path / 'out.tif')
    )
    assert [type(result) for result in results] == [OSError, OtherRankError, OtherRankError]
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / 'out.tif').read_bytes() == b'older'


def test_a_disk_that_is_not_shared_is_found_before_the_work(noise, tmp_path, threads, monkeypatch):
    inferencer = inferencer_of(noise)
    three = threads(3)
    touch = together.touch
    elsewhere = tmp_path / 'elsewhere'
    monkeypatch.setattr(
        together,
        'touch',
        lambda path: touch(path if three.rank() != 2 else elsewhere / path.name),
    )
    monkeypatch.setattr(together, 'predict_rows', None)
    results = three.run(
        lambda: inferencer.predict_file(noise['rgb'], noise['aux'], tmp_path / 'out.tif')
    )
    assert 'made by process 2, but process 0 does not see it' in str(results[0])
    assert [type(result) for result in results] == [ValueError, OtherRankError, OtherRankError]
    assert not hidden_in(tmp_path)


@pytest.mark.parametrize('out', ['.', 'config.py/out.tif', 'rgb.tif'])
def test_a_goal_that_cannot_be_written_is_found_before_the_work(
    noise, tmp_path, threads, monkeypatch, out
):
    inferencer = inferencer_of(noise)
    monkeypatch.setattr(together, 'predict_rows', None)
    goal = tmp_path / out if out != '.' else tmp_path / 'folder.tif'
    if out == '.':
        goal.mkdir()
    results = threads(2).run(lambda: inferencer.predict_file(noise['rgb'], noise['aux'], goal))
    assert isinstance(results[0], ValueError if out == 'rgb.tif' else OSError)
    assert isinstance(results[1], OtherRankError)
    assert not hidden_in(tmp_path)

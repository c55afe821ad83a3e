import itertools
import math
import threading
import time

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from scenes.models import tiny_model
from scenes.prediction import STOCK

from mobanet_mmseg.inference.predict import (
    ahead,
    check_finite,
    choose_batch_size,
    read_maps,
    window_network,
)
from mobanet_mmseg.models.data_preprocessor import select_modality
from mobanet_mmseg.tiling.sliding_window import Predicted
from mobanet_mmseg.tiling.windows import Window


def maps_of(logits, valid, **wanted):
    return read_maps(Window(0, 0, *logits.shape[1:]), logits, valid, threshold=0.3, **wanted)


def stock_model():
    """An EncoderDecoder of MMSegmentation, with nothing of this package, of stride 32."""
    return MODELS.build(ConfigDict(STOCK)).eval()


def test_maps_of_three_classes_by_hand():
    logits = torch.log(torch.tensor([[[1.0, 2]], [[3, 6]], [[6, 2]]]))  # 1 3 6 of 10, 2 6 2 of 10
    maps = maps_of(logits, None, probabilities=True, confidence=True)
    assert maps.labels.tolist() == [[2, 1]]
    assert maps.probabilities[:, 0].T.tolist() == [[25, 76, 152], [51, 152, 51]]  # 25.4 76.2 ...
    assert maps.confidence.tolist() == [[152, 152]]
    assert {array.dtype for array in maps[1:]} == {np.dtype(np.uint8)}


def test_maps_of_one_channel_by_hand():
    """Logits -log 4, -log 2 and log 9: the second class has 1/5, 1/3 and 9/10."""
    logits = torch.tensor([[[-math.log(4), -math.log(2), math.log(9)]]])
    maps = maps_of(logits, None, probabilities=True, confidence=True)
    assert maps.labels.tolist() == [[0, 1, 1]]  # the threshold is 0.3
    assert maps.probabilities.tolist() == [
        [[203, 169, 25]],  # 254 * 4/5 = 203.2, 254 * 2/3 = 169.3, 254 / 10 = 25.4
        [[51, 85, 229]],
    ]
    assert maps.confidence.tolist() == [[203, 85, 229]]  # of the label, though 85 is the lesser


def test_temperature_divides_the_logits_and_leaves_the_labels():
    """By 1/2, the shares 1 3 6 are those of 1 9 36, and odds of 1/2 and 9 those of 1/4 and 81."""
    logits = torch.log(torch.tensor([[[1.0]], [[3]], [[6]]]))
    maps = maps_of(logits, None, temperature=0.5, probabilities=True, confidence=True)
    assert maps.labels.tolist() == [[2]]
    assert maps.probabilities[:, 0, 0].tolist() == [6, 50, 199]  # 254 / 46 = 5.5, 49.7, 198.8
    assert maps.confidence.tolist() == [[199]]
    one = torch.tensor([[[-math.log(2), math.log(9)]]])
    maps = maps_of(one, None, temperature=0.5, probabilities=True, confidence=True)
    assert maps.labels.tolist() == [[1, 1]]  # 1/3 is above the threshold, 1/5 would not be
    assert maps.confidence.tolist() == [[51, 251]]  # 254 / 5 = 50.8, 254 * 81/82 = 250.9


@pytest.mark.parametrize('channels', [1, 3])
def test_where_there_is_no_optical_data_every_map_is_nodata(channels):
    logits = torch.full((channels, 2, 3), math.nan)
    logits[:, 0] = 1.0
    valid = torch.tensor([[True, True, True], [False, False, False]])
    maps = maps_of(logits, valid, probabilities=True, confidence=True)
    for array in maps[1:]:
        assert (array[..., 1, :] == 255).all()
        assert (array[..., 0, :] <= 254).all()


@pytest.mark.parametrize('number', [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_refused_with_their_place(number):
    logits = torch.zeros(1, 2, 5, 8)
    logits[0, 1, 2:4, 3:7] = number
    valid = torch.ones(5, 8, dtype=torch.bool)
    where = r'a\.tif gets .* in rows 102 to 103, columns 13 to 16, counted from 0'
    for known in (valid, None):
        with pytest.raises(ValueError, match=where):
            check_finite(Predicted(Window(100, 10, 5, 8), logits, known), 'a.tif')
    valid[2:4, 3:7] = False
    check_finite(Predicted(Window(100, 10, 5, 8), logits, valid), 'a.tif')


def test_only_what_is_asked_for_is_given():
    logits = torch.randn(3, 2, 4)
    assert maps_of(logits, None)[2:] == (None, None)
    assert maps_of(logits, None, probabilities=True).confidence is None
    assert maps_of(logits, None, confidence=True).probabilities is None


def test_probabilities_agree_with_labels_and_sum_to_one():
    logits = 3 * torch.randn(4, 30, 40)
    maps = maps_of(logits, None, probabilities=True, confidence=True)
    chosen = np.take_along_axis(maps.probabilities, maps.labels[None].astype(int), 0)[0]
    assert np.array_equal(chosen, maps.probabilities.max(axis=0))
    assert np.array_equal(chosen, maps.confidence)
    assert np.abs(maps.probabilities.sum(axis=0, dtype=int) - 254).max() <= 2


def test_stock_model_is_padded_to_its_divisor_and_cropped_back():
    """As in MMSeg's own test: its preprocessor pads at the bottom and right, after the norm."""
    model = stock_model()
    windows = torch.rand(2, 4, 40, 56) * 255
    with torch.no_grad():
        logits = window_network(model)(windows)
        padded = torch.nn.functional.pad((windows - 100) / 50, (0, 8, 0, 24))
        metas = [dict(img_shape=(64, 64), ori_shape=(64, 64), pad_shape=(64, 64))] * 2
        expected = model.encode_decode(padded, metas)[..., :40, :56]
    torch.testing.assert_close(logits, expected)
    assert logits.shape == (2, 4, 40, 56)


def test_windows_of_one_pixel_pass():
    for model in (stock_model(), MODELS.build(tiny_model()).eval()):
        with torch.no_grad():
            assert window_network(model)(torch.rand(3, 4, 1, 1)).shape[2:] == (1, 1)


def test_windows_stay_as_they_are():
    model = MODELS.build(tiny_model()).eval()
    select_modality(model, 'rgb')
    windows = torch.rand(1, 4, 28, 42)
    before = windows.clone()
    with torch.no_grad():
        window_network(model)(windows)
    assert torch.equal(windows, before)


def test_autocast_runs_the_network_in_the_lower_type():
    model = MODELS.build(tiny_model()).eval()
    seen = []
    model.decode_head.conv_seg.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    windows = torch.rand(1, 4, 28, 42) * 255
    with torch.no_grad():
        exact = window_network(model)(windows)
        rough = window_network(model, amp=torch.bfloat16)(windows)
    assert seen == [torch.float32, torch.bfloat16]
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.05)


def test_modality_leaves_the_other_one_without_effect():
    model = MODELS.build(tiny_model()).eval()
    windows = torch.rand(1, 4, 28, 42) * 255
    other_aux, other_rgb = windows.clone(), windows.clone()
    other_aux[:, 3], other_rgb[:, :3] = 7, 7
    network = window_network(model)
    with torch.no_grad():
        for modality, same, different in (
            ('rgb', other_aux, other_rgb),
            ('aux', other_rgb, other_aux),
        ):
            select_modality(model, modality)
            assert torch.equal(network(windows), network(same))
            assert not torch.equal(network(windows), network(different))


def clock_of(seconds_per_batch):
    """A clock that is read before and after the second run of each batch size."""
    times = [0.0]
    for seconds in seconds_per_batch:
        times += [times[-1], times[-1] + seconds]
    return iter(times[1:]).__next__


@pytest.mark.parametrize(
    ('seconds', 'chosen', 'tried'),
    [
        ([1, 2, 4], 1, [1, 2]),  # a window takes 1 s however many
        ([1, 1.2, 1.6, 3.2], 4, [1, 2, 4, 8]),  # 1, 0.6, 0.4, 0.4
        ([1, 1.98], 1, [1, 2]),  # 1 % is not worth the memory
        ([1] * 7, 64, [1, 2, 4, 8, 16, 32, 64]),
    ],
)
def test_batches_grow_as_long_as_windows_get_faster(seconds, chosen, tried):
    sizes = []
    network = lambda windows: sizes.append(tuple(windows.shape))  # noqa: E731
    clock = clock_of(seconds)
    assert choose_batch_size(network, 4, (8, 12), torch.device('cpu'), clock) == chosen
    assert sizes == list(itertools.chain(*([(size, 4, 8, 12)] * 2 for size in tried)))


def test_batches_grow_as_far_as_memory_goes():
    def network(windows):
        if len(windows) > 4:
            raise torch.cuda.OutOfMemoryError

    assert choose_batch_size(network, 4, (8, 12), torch.device('cpu'), clock_of([1] * 7)) == 4


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith('reading')]


@pytest.mark.parametrize('count', [0, 1, 2, 7])
def test_items_come_in_order_and_none_is_lost(count):
    assert list(ahead(iter(range(count)))) == list(range(count))
    assert not readers()


def test_items_that_are_none_or_false_are_items():
    assert list(ahead(iter([None, 0, False, None]))) == [None, 0, False, None]


def test_the_next_item_is_fetched_while_the_last_one_is_worked_on():
    fetched = [threading.Event() for _ in range(3)]

    def items():
        for event in fetched:
            event.set()
            yield event

    coming = ahead(items())
    next(coming)
    assert fetched[1].wait(5)
    assert not fetched[2].is_set()  # one ahead and no more: memory is bounded
    coming.close()


def test_all_items_are_fetched_in_one_other_thread():
    names = list(ahead(threading.current_thread().name for _ in range(4)))
    assert len(set(names)) == 1
    assert names[0].startswith('reading')


def test_an_error_while_fetching_comes_out_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError('b.tif is damaged')

    found = []
    with pytest.raises(ValueError, match='damaged'):
        found.extend(ahead(items()))
    assert found == [1, 2]
    assert not readers()


def test_fetching_stops_when_the_consumer_stops():
    count = 0

    def items():
        nonlocal count
        while True:
            count += 1
            yield count

    coming = ahead(items())
    assert next(coming) == 1
    coming.close()
    stopped_at = count
    assert stopped_at <= 2
    assert not readers()
    time.sleep(0.05)
    assert count == stopped_at

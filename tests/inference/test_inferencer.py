"""The Python face gives what MMSegmentation's own sliding windows give, whatever it is given."""

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import ConfigDict
from mmseg.models import BaseSegmentor, EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from scenes.inferencer import MEAN, STD, known, write_tiny
from scenes.models import tiny_model
from scenes.prediction import (
    CLASSES,
    DATASET,
    PALETTE,
    ROTATED,
    STOCK,
    UTM,
    write_trained,
)
from scenes.rasters import read_raster
from torch import nn

from mobanet_mmseg.inference import pair_inferencer
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.pair_inferencer import tiling_for
from mobanet_mmseg.tiling.symmetries import SYMMETRIES, apply_symmetry, undo_symmetry


def slide(model, inputs, **test_cfg):
    """Logits (K, H, W) of MMSegmentation's own slide mode."""
    model.test_cfg.update(test_cfg)
    with torch.no_grad():
        return EncoderDecoder.slide_inference(model, inputs, [{'img_shape': inputs.shape[2:]}])[0]


def assert_labels(labels, logits):
    """Labels are the argmax of logits, but where two are as good as equal."""
    best = logits.topk(2, dim=0).values
    sure = (best[0] - best[1] > SURE).numpy()
    assert sure.mean() > 0.98
    expected = logits.argmax(dim=0).numpy()
    assert np.array_equal(labels[sure], expected[sure])
    assert len(np.unique(expected)) > 1  # else nothing is compared


SURE = 1e-4  # between the two largest logits: where it is less, rounding may choose
RANGE = {'aux_range': None}  # heights as they are


def test_file_of_a_trained_model_equals_mmsegs_slide_mode(tiny):
    model = MultimodalInferencer(*tiny['model'], device='cpu')
    model.predict_file(*tiny['pair'], tiny['out'], **RANGE, probabilities=True, confidence=True)
    logits = slide(model.model, tiny['inputs'])
    assert_labels(read_raster(tiny['out']), logits)
    shares = 254 * logits.softmax(dim=0).numpy()
    written = read_raster(tiny['out'].with_name('out_probabilities.tif'))
    assert np.abs(written - np.moveaxis(shares, 0, -1)).max() < 0.51
    sure = read_raster(tiny['out'].with_name('out_confidence.tif'))
    assert np.abs(sure - shares.max(axis=0)).max() < 0.51
    with rasterio.open(tiny['out']) as raster:
        assert (raster.crs, raster.transform) == (UTM, ROTATED)


@pytest.mark.parametrize('batch_size', [2, 3, 100])  # of 4 x 3 windows: strips of one row, or all
def test_any_batch_size_and_reading_in_strips_or_whole_give_equal_labels(tiny, batch_size):
    model = MultimodalInferencer(*tiny['model'], device='cpu', batch_size=batch_size)
    prediction = model(*tiny['pair'], **RANGE)
    assert_labels(prediction.labels, slide(model.model, tiny['inputs']))


@pytest.mark.parametrize(
    ('window', 'stride'),
    [((28, 42), (28, 42)), ((14, 28), (5, 11)), ((61, 95), (1, 1)), ((400, 500), (7, 7))],
)
def test_windows_and_strides_that_are_given_override_the_config(tiny, window, stride):
    model = MultimodalInferencer(*tiny['model'], device='cpu', window=window, stride=stride)
    logits = slide(model.model, tiny['inputs'], crop_size=window, stride=stride)
    assert_labels(model(*tiny['pair'], **RANGE).labels, logits)


@pytest.mark.parametrize('blend', ['gaussian', 'cosine'])
def test_blending_equals_that_of_the_segmentor(tiny, blend):
    model = MultimodalInferencer(*tiny['model'], device='cpu', blend=blend)
    model.model.test_cfg.update(blend=blend)
    with torch.no_grad():
        logits = model.model.slide_inference(tiny['inputs'], [{}])[0]
    assert_labels(model(*tiny['pair'], **RANGE).labels, logits)


def test_blending_of_the_config_can_be_left_out(tiny):
    options = {'cfg_options': {'model.test_cfg.blend': 'gaussian'}}
    blended = MultimodalInferencer(*tiny['model'], device='cpu', **options)
    assert blended.tiling.blend == 'gaussian'
    model = MultimodalInferencer(*tiny['model'], device='cpu', blend='none', **options)
    logits = slide(model.model, tiny['inputs'])
    assert_labels(model(*tiny['pair'], **RANGE).labels, logits)


@pytest.mark.parametrize('tta', ['flips', 'd4'])
def test_symmetries_are_averaged_by_hand(tiny, tta):
    """One window holds all, so that the views of the image are the views of the window."""
    window = {'window': (61, 95), 'stride': (61, 95)}
    model = MultimodalInferencer(*tiny['model'], device='cpu', tta=tta, **window)
    with torch.no_grad():
        views = [
            undo_symmetry(model.model.encode_decode(apply_symmetry(tiny['inputs'], k), [{}]), k)
            for k in SYMMETRIES[tta]
        ]
    assert_labels(model(*tiny['pair'], **RANGE).labels, sum(views)[0] / len(views))


@pytest.mark.parametrize('modality', ['rgb', 'aux'])
def test_one_modality_sees_zeros_for_the_other(tiny, modality):
    model = MultimodalInferencer(*tiny['model'], device='cpu', modality=modality)
    inputs = tiny['inputs'].clone()
    inputs[:, 3 if modality == 'rgb' else slice(3)] = 0
    logits = slide(model.model, inputs)
    assert_labels(model(*tiny['pair'], **RANGE).labels, logits)
    if modality == 'rgb':
        rgb = tiny['pair'][0]
        assert_labels(model(rgb).labels, logits)
        assert_labels(model(read_raster(rgb)).labels, logits)
        model.predict_file(rgb, None, tiny['out'])
        assert_labels(read_raster(tiny['out']), logits)


@pytest.mark.parametrize('modality', ['both', 'aux'])
def test_without_an_auxiliary_image_only_rgb_is_predicted(scene, modality):
    model = known(scene, modality=modality)
    with pytest.raises(ValueError, match='no auxiliary image .*: give one, or predict without'):
        model(scene['rgb'])
    with pytest.raises(ValueError, match='no auxiliary image .*: give one, or predict without'):
        model.predict_file(scene['rgb'], None, scene['out'])
    assert not scene['out'].exists()


def test_a_model_that_knows_missing_heights_predicts_without_them_as_it_was_trained(tiny):
    zeros = {'test_dataloader.dataset.missing_aux': 'zeros'}
    options = {'device': 'cpu', 'cfg_options': zeros}
    model = MultimodalInferencer(*tiny['model'], **options)
    inputs = tiny['inputs'].clone()
    inputs[:, 3] = (0 - MEAN[3]) / STD[3]  # 0 before it is normalised
    logits = slide(model.model, inputs)
    assert_labels(model(tiny['pair'][0]).labels, logits)
    with pytest.raises(ValueError, match='no auxiliary image'):
        MultimodalInferencer(*tiny['model'], **options, modality='aux')(tiny['pair'][0])


def test_heights_without_any_value_are_as_good_as_missing(tiny):
    options = {'missing_aux': 'zeros', 'aux_fill': 0.6}
    settings = {f'test_dataloader.dataset.{key}': value for key, value in options.items()}
    model = MultimodalInferencer(*tiny['model'], device='cpu', cfg_options=settings)
    rgb = read_raster(tiny['pair'][0])
    expected = model(rgb).labels
    for given in ({}, {'aux_range': 'tile'}, {'aux_range': (3, 4)}):
        found = model(rgb, np.full(rgb.shape[:2], np.nan), **given).labels
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(model(rgb, np.zeros(rgb.shape[:2]), aux_range=(0, 1)), expected)


def test_bfloat16_on_a_cpu_agrees_where_the_logits_are_far_apart(tiny):
    model = MultimodalInferencer(*tiny['model'], device='cpu', amp='bf16')
    seen = []
    head = model.model.decode_head.conv_seg
    head.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    labels = model(*tiny['pair'], **RANGE).labels
    assert set(seen) == {torch.bfloat16}
    logits = slide(model.model, tiny['inputs'])
    best = logits.topk(2, dim=0).values
    sure = (best[0] - best[1] > 0.1 * logits.abs().max()).numpy()
    assert sure.mean() > 0.1
    assert (labels == logits.argmax(dim=0).numpy())[sure].mean() > 0.98


def test_batch_size_is_tried_where_it_is_left_to_us(scene, monkeypatch):
    seen = []

    def choose(network, channels, window, device):
        seen.append((network(torch.zeros(1, channels, *window)).shape, window, device))
        return 6

    monkeypatch.setattr(pair_inferencer, 'choose_batch_size', choose)
    model = known(scene, batch_size='auto', tta='d4', blend='cosine')
    assert seen == [((1, 4, 16, 24), (16, 24), torch.device('cpu'))]
    assert model.tiling.batch_size == 6
    assert model.tiling.blend == 'cosine'
    assert np.array_equal(model(scene['rgb'], scene['aux']).labels, scene['expected'])


def test_stock_encoder_decoder_with_stock_preprocessor_predicts_rasters(tiny, tmp_path):
    """Windows of 40 x 56 pixels, padded by MMSegmentation to a multiple of 32."""
    model = MultimodalInferencer(*write_trained(tmp_path, STOCK), device='cpu')
    assert type(model.model) is EncoderDecoder
    head = model.model.decode_head.conv_seg
    head.weight.data *= 500  # else all is nearly one value
    pad = (0, -56 % 32, 0, -40 % 32)
    total, count = torch.zeros(4, 61, 95), torch.zeros(61, 95)
    inputs = (read_stack(tiny) - 100) / 50
    for y in (0, 20, 21):
        for x in (0, 30, 39):
            crop = torch.nn.functional.pad(inputs[..., y : y + 40, x : x + 56], pad)
            with torch.no_grad():
                logits = model.model.encode_decode(crop, [{'img_shape': (64, 64)}])
            total[:, y : y + 40, x : x + 56] += logits[0, :, :40, :56]
            count[y : y + 40, x : x + 56] += 1
    logits = total / count
    middle = logits.mean(dim=(1, 2))
    head.bias.data -= middle
    assert_labels(model(*tiny['pair'], **RANGE).labels, logits - middle[:, None, None])


def read_stack(tiny):
    pair = [read_raster(path).astype(np.float32) for path in tiny['pair']]
    return torch.from_numpy(np.dstack(pair)).permute(2, 0, 1)[None]


def test_model_of_one_channel_predicts_two_classes_by_its_threshold(tiny, tmp_path):
    content = tiny_model()
    content.decode_head.update(num_classes=2, out_channels=1, threshold=0.45)
    content.decode_head.loss_decode.update(use_sigmoid=True)
    for head in content.auxiliary_head:
        head.update(num_classes=2)
    model = MultimodalInferencer(*write_tiny(tmp_path, content), device='cpu')
    prediction = model(*tiny['pair'], **RANGE, probabilities=True, confidence=True)
    share = slide(model.model, tiny['inputs'])[0].sigmoid().numpy()
    sure = np.abs(share - 0.45) > SURE
    assert np.array_equal(prediction.labels[sure], (share > 0.45)[sure])
    assert 0 < prediction.labels.mean() < 1
    assert np.abs(prediction.probabilities[1] - share).max() < 0.51 / 254
    assert np.abs(prediction.probabilities[0] - (1 - share)).max() < 0.51 / 254
    assert prediction.classes == CLASSES[:2]


def test_prediction_says_where_it_lies_and_what_it_means(scene):
    prediction = known(scene)(scene['rgb'], scene['aux'])
    assert prediction.labels.dtype == np.uint8
    assert np.array_equal(prediction.labels, scene['expected'])
    assert (prediction.crs, prediction.transform) == (UTM, ROTATED)
    assert (prediction.classes, prediction.palette) == (CLASSES, PALETTE)
    assert prediction.probabilities is prediction.confidence is None


def test_probabilities_and_confidence_equal_softmax_by_hand(scene):
    with rasterio.open(scene['rgb'], 'r+') as image:
        image.nodata = 51
    prediction = known(scene)(scene['rgb'], scene['aux'], probabilities=True, confidence=True)
    shares = np.exp([0.8, 0.2, 0.2, 0.0])  # red, on the ground
    shares /= shares.sum()
    assert prediction.probabilities.dtype == prediction.confidence.dtype == np.float32
    np.testing.assert_allclose(prediction.probabilities[:, 0, 0], shares, atol=0.51 / 254)
    np.testing.assert_allclose(prediction.confidence[0, 0], shares[0], atol=0.51 / 254)
    void = prediction.labels == 255
    assert 0 < void.sum() < void.size
    assert np.array_equal(np.isnan(prediction.confidence), void)
    assert np.array_equal(np.isnan(prediction.probabilities).any(axis=0), void)
    chosen = prediction.probabilities[:, ~void].argmax(axis=0)
    assert np.array_equal(chosen, prediction.labels[~void])


WHOLE = {'cfg_options': {'model.test_cfg.mode': 'whole'}}
SETTINGS = {
    'whole': (WHOLE, "mode='whole' and no window"),
    'holes': ({'stride': (20, 12)}, 'stride of 20 pixels leaves holes'),
    'no windows': ({'window': (0, 24)}, 'at least 1'),
    'no batch': ({'batch_size': 0}, 'at least 1'),
    'modality': ({'modality': 'dsm'}, "modality='dsm'; it is 'both', 'rgb' or 'aux'"),
    'blend': ({'blend': 'linear'}, "blend='linear'; it is"),
    'tta': ({'tta': 'all'}, "tta='all'; it is 'flips'"),
    'amp': ({'amp': 'fp32'}, "amp='fp32'; it is 'bf16', 'fp16' or None"),
}


@pytest.mark.parametrize('name', SETTINGS)
def test_setting_of_no_use_is_refused_in_one_sentence(scene, name):
    options, said = SETTINGS[name]
    with pytest.raises(ValueError, match=said) as error:
        known(scene, **options)
    assert '\n' not in str(error.value)


def test_model_of_whole_images_predicts_with_a_window(scene):
    model = known(scene, window=(20, 20), **WHOLE)
    assert np.array_equal(model(scene['rgb'], scene['aux']).labels, scene['expected'])


def write_rgb_model(folder, **preprocessor):
    model = ConfigDict(STOCK)
    model.backbone.in_channels = 3
    settings = dict(type='SegDataPreProcessor', mean=[100.0] * 3, std=[50.0] * 3, **preprocessor)
    model.data_preprocessor = settings
    dataset = {**DATASET, 'aux_bands': (), 'data_prefix': {'img_path': 'img'}}
    return write_trained(folder, model.to_dict(), dataset)


@pytest.mark.parametrize(
    'preprocessor',
    [
        dict(test_cfg=dict(size_divisor=32)),
        dict(bgr_to_rgb=True, test_cfg=dict(size=(64, 96))),
        dict(size=(40, 56)),
    ],
    ids=['divisor', 'bgr_to_rgb and size', 'size'],
)
def test_stock_model_predicts_the_optical_image_alone(tiny, tmp_path, preprocessor):
    """MMSegmentation's own test of each window gives the same labels."""
    window = {'window': (61, 95), 'stride': (61, 95)}
    model = MultimodalInferencer(*write_rgb_model(tmp_path, **preprocessor), device='cpu', **window)
    rgb = read_raster(tiny['pair'][0])
    model.model.test_cfg.mode = 'whole'
    head = model.model.decode_head.conv_seg
    head.weight.data *= 500  # else all is nearly one value
    sample = SegDataSample(metainfo=dict(ori_shape=(61, 95), img_shape=(61, 95)))
    data = {'inputs': [torch.from_numpy(rgb).permute(2, 0, 1)], 'data_samples': [sample]}
    with torch.no_grad():
        (output,) = model.model.test_step(data)
    logits = output.seg_logits.data
    head.bias.data -= logits.mean(dim=(1, 2))
    logits = logits - logits.mean(dim=(1, 2), keepdim=True)
    assert_labels(model(rgb).labels, logits)
    model.predict_file(tiny['pair'][0], None, tiny['out'])
    assert_labels(read_raster(tiny['out']), logits)


@pytest.mark.parametrize('modality', ['both', 'rgb', 'aux'])
def test_model_of_the_optical_image_alone_takes_no_other(tiny, tmp_path, modality):
    paths = write_rgb_model(tmp_path)
    if modality == 'aux':
        with pytest.raises(ValueError, match="modality='aux', but .* the optical image alone"):
            MultimodalInferencer(*paths, device='cpu', modality=modality)
        return
    model = MultimodalInferencer(*paths, device='cpu', modality=modality)
    assert model(tiny['pair'][0]).labels.shape == (61, 95)
    with pytest.raises(ValueError, match=r'optical image alone .*: leave the auxiliary one'):
        model(*tiny['pair'])


def test_segmentor_that_gives_no_logits_is_refused(scene):
    with pytest.raises(ValueError, match='is no EncoderDecoder'):
        MultimodalInferencer(*write_other(scene), device='cpu')


def write_other(scene):
    class Other(BaseSegmentor):
        extract_feat = encode_decode = loss = predict = _forward = None

        def __init__(self, **kwargs):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(4, 1, 1))

    MODELS.register_module(module=Other, force=True)
    text = scene['config'].read_text().replace("'LargestChannel'", "'Other'")
    path = scene['config'].with_name('other.py')
    path.write_text(text)
    return path, scene['checkpoint']


def test_tiling_is_that_of_the_test_cfg_unless_told_otherwise():
    slide = dict(mode='slide', crop_size=(28, 42), stride=(14, 28), batch_size=3, blend='cosine')
    tiling = tiling_for(slide)
    assert (tiling.window, tiling.stride) == ((28, 42), (14, 28))
    assert (tiling.batch_size, tiling.blend) == (3, 'cosine')
    tiling = tiling_for(slide, window=None, stride=(5, 6))
    assert (tiling.window, tiling.stride) == ((28, 42), (5, 6))


def test_stride_of_the_config_is_shortened_to_a_smaller_window():
    slide = dict(mode='slide', crop_size=(28, 42), stride=(14, 28))
    assert tiling_for(slide, window=(10, 40)).stride == (10, 28)


def test_stride_that_is_given_and_leaves_holes_is_refused():
    slide = dict(mode='slide', crop_size=(28, 42), stride=(14, 28))
    with pytest.raises(ValueError, match=r'stride of 43 pixels leaves holes .* 42 pixels \(width'):
        tiling_for(slide, stride=(28, 43))


def test_window_that_is_given_serves_a_model_of_whole_images_at_half_its_side():
    tiling = tiling_for(dict(mode='whole'), window=(15, 20))
    assert (tiling.window, tiling.stride) == ((15, 20), (8, 10))


def test_a_stock_model_of_four_channels_predicts_without_the_auxiliary_image(scene, tmp_path):
    config, checkpoint = write_trained(tmp_path, STOCK)
    alone = MultimodalInferencer(config, checkpoint, modality='rgb')
    without = alone(scene['rgb']).labels
    assert np.array_equal(alone(scene['rgb'], scene['aux']).labels, without)
    with pytest.raises(ValueError, match='There is no auxiliary image'):
        MultimodalInferencer(config, checkpoint)(scene['rgb'])

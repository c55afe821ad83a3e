"""The Python face gives what MMSegmentation's own sliding windows give, whatever it is given."""

import threading
from contextlib import ExitStack

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config, ConfigDict
from mmseg.models import BaseSegmentor, EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
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
from scenes.rasters import read_raster, write_raster
from torch import nn

from mobanet_mmseg.inference import inferencer as inferencer_module
from mobanet_mmseg.inference import predict
from mobanet_mmseg.inference.inferencer import (
    MultimodalInferencer,
    tiling_for,
)
from mobanet_mmseg.tiling.symmetries import SYMMETRIES, apply_symmetry, undo_symmetry

SURE = 1e-4  # between the two largest logits: where it is less, rounding may choose

MEAN, STD = [100.0, 100, 100, 0], [50.0, 50, 50, 1]  # of tiny_model


def known(scene, **options):
    return MultimodalInferencer(scene['config'], scene['checkpoint'], device='cpu', **options)


@pytest.fixture
def arrays(scene):
    return read_raster(scene['rgb']), read_raster(scene['aux'])


def write_tiny(folder, model=None):
    """Write config and checkpoint of a toy MoBaNet."""
    torch.manual_seed(0)
    return write_trained(folder, (model or tiny_model()).to_dict())


@pytest.fixture
def tiny(tmp_path):
    """Paths of a toy MoBaNet, its pair of 61 x 95 pixels, and what its network gets of them."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 95)
    rgb = (rng.integers(0, 256, (61, 95, 3)) * ramp[::-1, None]).astype(np.uint8)
    heights = (rng.uniform(0, 1, (61, 95)) * ramp).astype(np.float32)
    place = {'crs': UTM, 'transform': ROTATED}
    write_raster(tmp_path / 'rgb.tif', rgb, **place)
    write_raster(tmp_path / 'aux.tif', heights, **place)
    stack = torch.from_numpy(np.dstack([rgb.astype(np.float32), heights])).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(values).view(1, 4, 1, 1) for values in (MEAN, STD))
    inputs = (stack - mean) / std
    config, checkpoint = write_tiny(tmp_path)
    centre(config, checkpoint, inputs)
    return {
        'model': (config, checkpoint),
        'pair': (tmp_path / 'rgb.tif', tmp_path / 'aux.tif'),
        'out': tmp_path / 'out.tif',
        'inputs': inputs,
    }


def centre(config, checkpoint, inputs):
    """Shift the logits until none of the classes is that of all pixels."""
    model = MultimodalInferencer(config, checkpoint, device='cpu').model
    with torch.no_grad():
        logits = model.encode_decode(inputs, [{}])
    content = torch.load(checkpoint, weights_only=True)
    content['state_dict']['decode_head.conv_seg.bias'] -= logits.mean(dim=(0, 2, 3))
    torch.save(content, checkpoint)


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

    monkeypatch.setattr(inferencer_module, 'choose_batch_size', choose)
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


KINDS = ['array', 'path', 'text', 'dataset', 'memory', 'warped']


def as_kind(kind, path, stack):
    """The same image as an array, a path or an open raster."""
    if kind == 'array':
        return read_raster(path)
    if kind in ('path', 'text'):
        return path if kind == 'path' else str(path)
    if kind == 'memory':
        return stack.enter_context(stack.enter_context(MemoryFile(path.read_bytes())).open())
    dataset = stack.enter_context(rasterio.open(path))
    if kind == 'dataset':
        return dataset
    grid = {'crs': UTM, 'transform': ROTATED, 'height': dataset.height, 'width': dataset.width}
    return stack.enter_context(WarpedVRT(dataset, **grid))


@pytest.mark.parametrize('aux', KINDS)
@pytest.mark.parametrize('rgb', KINDS)
def test_images_of_any_kind_and_mixed_give_equal_results(scene, rgb, aux):
    with ExitStack() as stack:
        images = as_kind(rgb, scene['rgb'], stack), as_kind(aux, scene['aux'], stack)
        prediction = known(scene)(*images, confidence=True)
        for image in images:
            assert not getattr(image, 'closed', False)
    assert np.array_equal(prediction.labels, scene['expected'])
    placed = rgb != 'array'
    assert prediction.crs == (UTM if placed else None)
    assert prediction.transform == (ROTATED if placed else Affine.identity())


@pytest.mark.parametrize('kind', ['dataset', 'memory', 'masked'])
def test_nodata_of_open_rasters_and_masked_arrays_is_that_of_the_file(tiny, kind):
    """In a network that sees its neighbours, what lies under nodata counts, too."""
    for path, value in zip(tiny['pair'], (77, 0.5), strict=True):
        with rasterio.open(path, 'r+') as raster:
            pixels = raster.read()
            pixels[:, 20:40, 30:50] = value
            pixels[0, 3, 3] = value
            raster.nodata = value
            raster.write(pixels)
    model = MultimodalInferencer(*tiny['model'], device='cpu')
    expected = model(*tiny['pair'], confidence=True)
    assert (expected.labels[20:40, 30:50] == 255).all()
    assert expected.labels[3, 3] != 255  # one band of three
    with ExitStack() as stack:
        if kind == 'masked':
            rgb, aux = (rasterio.open(path).read(masked=True) for path in tiny['pair'])
            images = np.moveaxis(rgb, 0, -1), aux[0]
        else:
            images = [as_kind(kind, path, stack) for path in tiny['pair']]
        found = model(*images, confidence=True)
    assert np.array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


def test_overview_that_is_open_is_read_as_it_is(scene):
    pixels = np.repeat(np.repeat(read_raster(scene['rgb']), 2, axis=0), 2, axis=1)
    finer = ROTATED @ Affine.scale(0.5)
    place = {'crs': UTM, 'transform': finer}
    path = write_raster(scene['out'].with_name('fine.tif'), pixels, **place)
    with rasterio.open(path, 'r+') as raster:
        raster.build_overviews([2])
    with rasterio.open(path, overview_level=0) as overview:
        prediction = known(scene)(overview, scene['aux'])
    assert np.array_equal(prediction.labels, scene['expected'])


def test_open_rasters_on_other_grids_are_warped_as_files_are(scene):
    shifted = ROTATED @ Affine.translation(9, 0)
    write_raster(scene['aux'], read_raster(scene['aux']), crs=UTM, transform=shifted)
    expected = known(scene)(scene['rgb'], scene['aux']).labels
    assert (expected == 3).any()
    with ExitStack() as stack:
        rgb, aux = (as_kind('memory', scene[name], stack) for name in ('rgb', 'aux'))
        for other in (aux, scene['aux']):
            assert np.array_equal(known(scene)(rgb, other).labels, expected)


def test_missing_file_beside_an_array_is_named(scene, arrays):
    with pytest.raises(FileNotFoundError, match=r'none\.tif does not exist'):
        known(scene)(scene['out'].with_name('none.tif'), arrays[1])
    with pytest.raises(FileNotFoundError, match=r'none\.tif does not exist'):
        known(scene)(arrays[0], 'none.tif')


@pytest.mark.parametrize('image', [None, [[1.0]], torch.ones(37, 53)], ids=type)
def test_what_is_no_image_is_named(scene, image):
    with pytest.raises(ValueError, match=f'An image is a {type(image).__name__}: give a numpy'):
        known(scene)(image, scene['aux'])
    if image is not None:
        with pytest.raises(ValueError, match=f'An image is a {type(image).__name__}: give a nu'):
            known(scene)(scene['rgb'], image)


def test_bands_are_those_of_the_config(scene):
    options = {'test_dataloader.dataset.img_bands': (3, 2, 1)}
    model = known(scene, cfg_options=options)
    with ExitStack() as stack:
        for kind in ('path', 'memory'):
            labels = model(as_kind(kind, scene['rgb'], stack), scene['aux']).labels
            assert (labels[:5, :20] == 2).all()  # red is the third channel now


def test_ranges_of_heights_are_taken_for_arrays_and_files(scene, arrays):
    model = known(scene)
    for images in ((scene['rgb'], scene['aux']), arrays):
        labels = model(*images, aux_range=(10, 1010)).labels
        assert not (labels == 3).any()  # 30 m become 0.02, below everything
        found = model(*images, aux_range='tile').labels
        assert np.array_equal(found, scene['expected'])
        with pytest.raises(ValueError, match="aux_range='tiles': give 'tile', a pair"):
            model(*images, aux_range='tiles')


def test_config_may_be_an_open_one(scene):
    config = Config.fromfile(scene['config'])
    model = MultimodalInferencer(config, scene['checkpoint'], device='cpu')
    assert np.array_equal(model(scene['rgb'], scene['aux']).labels, scene['expected'])


def test_one_inferencer_predicts_many_pairs_and_leaves_no_thread(scene, arrays):
    model = known(scene)
    before = threading.active_count()
    for images in ((scene['rgb'], scene['aux']), arrays) * 3:
        assert np.array_equal(model(*images).labels, scene['expected'])
    assert threading.active_count() == before


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


def model_with(**test_cfg) -> EncoderDecoder:
    return MODELS.build(tiny_model(test_cfg=test_cfg))


def test_tiling_is_that_of_the_test_cfg_unless_told_otherwise():
    slide = dict(mode='slide', crop_size=(28, 42), stride=(14, 28), batch_size=3, blend='cosine')
    tiling = tiling_for(model_with(**slide))
    assert (tiling.window, tiling.stride) == ((28, 42), (14, 28))
    assert (tiling.batch_size, tiling.blend) == (3, 'cosine')
    tiling = tiling_for(model_with(**slide), window=None, stride=(5, 6))
    assert (tiling.window, tiling.stride) == ((28, 42), (5, 6))


def test_stride_of_the_config_is_shortened_to_a_smaller_window():
    slide = dict(mode='slide', crop_size=(28, 42), stride=(14, 28))
    assert tiling_for(model_with(**slide), window=(10, 40)).stride == (10, 28)


def test_stride_that_is_given_and_leaves_holes_is_refused():
    slide = dict(mode='slide', crop_size=(28, 42), stride=(14, 28))
    with pytest.raises(ValueError, match=r'stride of 43 pixels leaves holes .* 42 pixels \(width'):
        tiling_for(model_with(**slide), stride=(28, 43))


def test_window_that_is_given_serves_a_model_of_whole_images_at_half_its_side():
    tiling = tiling_for(model_with(mode='whole'), window=(15, 20))
    assert (tiling.window, tiling.stride) == ((15, 20), (8, 10))


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def write_pair(folder, height, width, **place):
    """Write a pair with no two values alike; gives its label map."""
    rng = np.random.default_rng(height * width)
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    heights = rng.uniform(10, 30, (height, width)).astype(np.float32)
    place = {'crs': None, 'transform': None, **place}
    write_raster(folder / 'rgb.tif', rgb, **place)
    write_raster(folder / 'aux.tif', heights, **place)
    shares = np.dstack([rgb.astype(np.float32) / 255, (heights - 10) / np.float32(20)])
    return shares.argmax(axis=-1)


def test_label_map_worked_out_by_hand_is_written_on_the_grid_of_the_image(scene):
    counts = known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert np.array_equal(counts, np.bincount(scene['expected'].ravel(), minlength=256))
    with rasterio.open(scene['out']) as written, rasterio.open(scene['rgb']) as image:
        assert np.array_equal(written.read(1), scene['expected'])
        assert (written.crs, written.transform, written.shape) == (UTM, ROTATED, image.shape)
        colours = [written.colormap(1)[index][:3] for index in range(4)]
        assert colours == [tuple(colour) for colour in PALETTE]
        assert written.nodata == 255
        assert written.tags()['CLASS_3'] == 'high'


def test_raster_without_any_data_gives_a_map_without_any(scene):
    with rasterio.open(scene['rgb'], 'r+') as image:
        image.nodata = 9
        image.write(np.full((3, 37, 53), 9, np.uint8))
    counts = known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert counts[255] == 37 * 53
    assert (read_raster(scene['out']) == 255).all()


SIZES = [(1, 1), (1, 53), (37, 1), (2, 300), (16, 24), (17, 25), (31, 47), (300, 9)]


@pytest.mark.parametrize('size', SIZES)
def test_every_pixel_of_any_size_is_predicted_once(scene, size):
    expected = write_pair(scene['out'].parent, *size, crs=UTM, transform=ROTATED)
    counts = known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'], aux_range=(10, 30))
    assert np.array_equal(read_raster(scene['out']), expected)
    assert counts.sum() == size[0] * size[1]


def test_place_is_tried_before_anything_is_predicted(scene, monkeypatch):
    model = known(scene)
    monkeypatch.setattr(model.model, 'encode_decode', lambda *args: pytest.fail('predicted'))
    with pytest.raises(OSError, match='could not be written'):
        model.predict_file(scene['rgb'], scene['aux'], scene['config'] / 'out.tif')


def write_damaged(path):
    """Tiles of 16 pixels, of which one in the middle holds what no encoder wrote."""
    noise = np.random.default_rng(0).integers(0, 256, (160, 48, 3), dtype=np.uint8)
    tiles = {'tiled': True, 'blockxsize': 16, 'blockysize': 16, 'compress': 'deflate'}
    write_raster(path, noise, crs=UTM, transform=ROTATED, **tiles)
    with rasterio.open(path) as raster:
        offset = int(raster.get_tag_item('BLOCK_OFFSET_1_5', 'TIFF', bidx=1))
    with path.open('r+b') as file:
        file.seek(offset)
        file.write(b'\xff' * 300)


def damage_the_middle(scene):
    write_damaged(scene['rgb'])
    write_raster(scene['aux'], np.arange(7680, dtype=np.float32).reshape(160, 48),
                 crs=UTM, transform=ROTATED)  # fmt: skip


def truncate(scene):
    content = scene['rgb'].read_bytes()
    scene['rgb'].write_bytes(content[: len(content) // 2])


def move_away(scene):
    shifted = Affine.translation(1e5, 0) @ ROTATED
    write_raster(scene['aux'], read_raster(scene['aux']), crs=UTM, transform=shifted)


def other_size(scene):
    write_raster(scene['aux'], np.arange(2220, dtype=np.float32).reshape(37, 60),
                 crs=None, transform=None)  # fmt: skip


def two_bands(scene):
    write_raster(scene['rgb'], np.ones((37, 53, 2), np.uint8), crs=UTM, transform=ROTATED)


FAILURES = {
    'rgb missing': (lambda s: s['rgb'].unlink(), FileNotFoundError, r'rgb\.tif does not exist'),
    'aux missing': (lambda s: s['aux'].unlink(), FileNotFoundError, r'aux\.tif does not exist'),
    'no raster': (lambda s: s['aux'].write_text('x'), ValueError, r'aux\.tif cannot be read'),
    'no overlap': (move_away, ValueError, r'no overlap: give files of one area'),
    'other size': (other_size, ValueError, r'37 x 60 pixels.*37 x 53.* has no georeference'),
    'bands missing': (two_bands, ValueError, r'rgb\.tif has 2 band\(s\), but \(1, 2, 3\)'),
    'flat heights': (
        lambda s: write_raster(s['aux'], np.ones((37, 53), np.float32), crs=UTM,
                               transform=ROTATED), ValueError, r'aux\.tif'),
    'truncated': (truncate, ValueError, r'rgb\.tif (is truncated|cannot be read)'),
    'damaged': (damage_the_middle, ValueError, r'rgb\.tif is damaged at .*: copy or download'),
    'a folder': (lambda s: s['out'].mkdir(), OSError, r'out\.tif could not .*it is a folder'),
}  # fmt: skip


@pytest.mark.parametrize('name', FAILURES)
def test_failure_gets_one_sentence_and_leaves_no_file(scene, name):
    spoil, error, said = FAILURES[name]
    spoil(scene)
    before = files_in(scene['out'].parent)
    wanted = {'probabilities': True, 'confidence': True}
    with pytest.raises(error, match=said) as raised:
        known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'], **wanted)
    assert '\n' not in str(raised.value)
    assert files_in(scene['out'].parent) == before


def test_input_is_never_overwritten(scene):
    before = files_in(scene['out'].parent)
    for name in ('rgb', 'aux', 'config', 'checkpoint'):
        with pytest.raises(ValueError, match='would be written over .*, which is read'):
            known(scene).predict_file(scene['rgb'], scene['aux'], scene[name])
    assert files_in(scene['out'].parent) == before


def test_old_map_is_replaced(scene):
    scene['out'].write_bytes(b'old')
    known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert np.array_equal(read_raster(scene['out']), scene['expected'])
    assert not [path for path in scene['out'].parent.iterdir() if path.name.startswith('.')]


def test_files_are_predicted_in_column_blocks_as_whole(scene, monkeypatch):
    rng = np.random.default_rng(0)
    place = {'crs': UTM, 'transform': ROTATED}
    write_raster(scene['rgb'], rng.integers(0, 3, (37, 700, 3), np.uint8) * 100, nodata=0, **place)
    write_raster(scene['aux'], rng.random((37, 700), np.float32), **place)
    model, pair = known(scene), (scene['rgb'], scene['aux'])
    whole = model(*pair, probabilities=True)
    monkeypatch.setattr(predict, 'BLOCK_BYTES', 0)
    with model.open_pair(*pair) as source:
        assert {strip.done.width for strip in model.plan(source)} == {512, 188}
    counts = model.predict_file(*pair, scene['out'], probabilities=True)
    np.testing.assert_array_equal(read_raster(scene['out']), whole.labels)
    shares = read_raster(scene['out'].with_name('out_probabilities.tif'))
    np.testing.assert_array_equal(shares[..., 0] == 255, np.isnan(whole.probabilities[0]))
    np.testing.assert_array_equal(model(*pair).labels, whole.labels)
    assert counts.sum() == 37 * 700


def test_a_stock_model_of_four_channels_predicts_without_the_auxiliary_image(scene, tmp_path):
    config, checkpoint = write_trained(tmp_path, STOCK)
    alone = MultimodalInferencer(config, checkpoint, modality='rgb')
    without = alone(scene['rgb']).labels
    assert np.array_equal(alone(scene['rgb'], scene['aux']).labels, without)
    with pytest.raises(ValueError, match='There is no auxiliary image'):
        MultimodalInferencer(config, checkpoint)(scene['rgb'])

import pytest
import torch
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from scenes.models import samples, tiny_model

from mobanet_mmseg.models.tiled import augment, segmentor_of
from mobanet_mmseg.tiling.symmetries import SYMMETRIES, apply_symmetry, undo_symmetry


def test_logits_of_a_padded_input_lie_where_its_pixels_are():
    """256 pixels in a network of stride 14: padded to 266, scaled up to 266, cropped to 256."""
    config = tiny_model(test_cfg=dict(mode='whole'))
    model = MODELS.build(config).eval()
    columns = torch.arange(266).float().expand(1, 1, 252, 266)

    def mean_column_of_each_patch(inputs, metas=None, test_cfg=None):
        pooled = torch.nn.functional.avg_pool2d(inputs[:, :1], 14)
        return torch.nn.functional.interpolate(pooled, scale_factor=14, mode='bilinear')

    model.extract_feat = lambda inputs: inputs
    model.decode_head.predict = mean_column_of_each_patch
    logits = model.encode_decode(columns[..., :250, :256], [{}])
    assert logits.shape == (1, 1, 250, 256)
    inner = slice(20, 236)  # away from the padding's zeros
    torch.testing.assert_close(logits[0, 0, 100, inner], columns[0, 0, 0, inner])


@pytest.mark.parametrize('batch_size', [1, 3, 100])
@pytest.mark.parametrize('size', [(56, 84), (57, 85), (28, 42), (20, 90), (13, 17)])
def test_tiles_equal_mmsegs_slide_mode(size, batch_size):
    config = tiny_model()
    config['test_cfg'].update(batch_size=batch_size)
    model = MODELS.build(config).eval()
    for dgfm in model.neck.fusions:
        torch.nn.init.normal_(dgfm.gate[-1].weight)
    inputs = torch.rand(2, 4, *size)
    metas = [dict(ori_shape=size, img_shape=size, pad_shape=size)] * 2
    with torch.no_grad():
        ours = model.slide_inference(inputs, [dict(meta) for meta in metas])
        stock = EncoderDecoder.slide_inference(model, inputs, [dict(meta) for meta in metas])
    torch.testing.assert_close(ours, stock, atol=1e-5, rtol=1e-5)


def test_windows_under_autocast_are_summed_in_float32():
    model = MODELS.build(tiny_model()).eval()
    inputs = torch.rand(1, 4, 57, 85)
    metas = [dict(ori_shape=(57, 85), img_shape=(57, 85), pad_shape=(57, 85))]
    with torch.no_grad():
        exact = model.slide_inference(inputs, metas)
        with torch.autocast('cpu', torch.bfloat16):
            assert model.encode_decode(inputs[..., :28, :42], metas).dtype == torch.bfloat16
            logits = model.slide_inference(inputs, metas)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, exact, rtol=0.05, atol=0.02 * exact.abs().max().item())


def test_blending_leaves_the_border_of_a_window_to_its_neighbour():
    config = tiny_model()
    config['test_cfg'].update(crop_size=(28, 28), stride=(28, 14), blend='gaussian')
    model = MODELS.build(config).eval()
    calls = iter([0.0, 1.0, 2.0])
    model.encode_decode = lambda crops, batch_img_metas: torch.full((1, 3, 28, 28), next(calls))
    logits = model.slide_inference(torch.rand(1, 4, 28, 56), [{}])[0, 0, 0]
    assert logits[:14].eq(0).all()
    assert logits[42:].eq(2).all()
    assert (logits[14:42].diff() >= 0).all()
    assert logits[14] < 0.01
    assert logits[41] > 1.99


def test_predict_gives_a_label_for_each_pixel_of_any_size():
    model = MODELS.build(tiny_model()).eval()
    data = dict(inputs=[torch.rand(4, 31, 47)], data_samples=samples(torch.zeros(1, 31, 47).long()))
    with torch.no_grad():
        result = model.test_step(data)[0]
    assert result.pred_sem_seg.data.shape == (1, 31, 47)
    assert torch.equal(result.pred_sem_seg.data[0], result.seg_logits.data.argmax(dim=0))


def test_checkpoint_loads_strictly_and_predicts_the_same(tmp_path):
    first, second = (MODELS.build(tiny_model()).eval() for _ in range(2))
    torch.save(first.state_dict(), tmp_path / 'model.pth')
    second.load_state_dict(torch.load(tmp_path / 'model.pth', weights_only=True))
    inputs = torch.rand(1, 4, 28, 42)
    assert torch.equal(first(inputs), second(inputs))


def noisy(kind='MoBaNet', **overrides):
    """A toy segmentor with weights of which no two views get the same prediction."""
    model = MODELS.build(tiny_model(type=kind, **overrides)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def views_by_hand(model, inputs, tta):
    """Predict each view of a window alone, turn it back, and average."""
    views = SYMMETRIES[tta]
    logits = [model.encode_decode(apply_symmetry(inputs, k), [{}]) for k in views]
    return sum(map(undo_symmetry, logits, views)) / len(views)


@pytest.mark.parametrize('kind', ['MoBaNet', 'EncoderDecoder'])
@pytest.mark.parametrize('tta', ['flips', 'd4'])
def test_logits_are_averaged_over_each_window_or_the_whole_image(kind, tta):
    model = noisy(kind, test_cfg=dict(mode='slide', crop_size=(28, 42), stride=(28, 42)))
    if kind == 'EncoderDecoder':  # which takes the size of its logits from the metas
        plain = model.encode_decode
        model.encode_decode = lambda x, metas: plain(x, [dict(metas[0], img_shape=x.shape[-2:])])
    inputs = torch.rand(2, 4, 56, 42)
    metas = [dict(ori_shape=(56, 42), img_shape=(56, 42), pad_shape=(56, 42))] * 2
    with torch.no_grad():
        windows = [views_by_hand(model, rows, tta) for rows in inputs.split(28, dim=-2)]
        whole = views_by_hand(model, inputs, tta)
        augment(model, tta)
        logits = model.inference(inputs, [dict(meta) for meta in metas])
        torch.testing.assert_close(logits, torch.cat(windows, dim=-2))
        model.test_cfg['mode'] = 'whole'
        torch.testing.assert_close(model.inference(inputs, [dict(meta) for meta in metas]), whole)
    assert not torch.allclose(logits, whole)


def test_augmentation_is_that_of_the_config_unless_told_otherwise():
    whole = dict(mode='whole', tta='flips')
    model = noisy(test_cfg=whole)
    inputs = torch.rand(1, 4, 28, 42)
    with torch.no_grad():
        flips = model.inference(inputs, [{'ori_shape': (28, 42)}])
        augment(model, None)
        torch.testing.assert_close(flips, views_by_hand(model, inputs, 'flips'))
        assert not torch.allclose(flips, model.inference(inputs, [{'ori_shape': (28, 42)}]))
    with pytest.raises(ValueError, match="tta='rotations'; it is 'flips'"):
        noisy(test_cfg=dict(whole, tta='rotations'))
    with pytest.raises(ValueError, match="tta='rotations'; it is 'flips'"):
        augment(model, 'rotations')


def test_one_channel_is_averaged_before_its_sigmoid():
    head = dict(tiny_model().decode_head, num_classes=2, out_channels=1, threshold=0.4)
    head['loss_decode'] = dict(type='CrossEntropyLoss', use_sigmoid=True)
    model = noisy(decode_head=head, auxiliary_head=None, test_cfg=dict(mode='whole'))
    image = 255 * torch.rand(4, 37, 53)
    data = dict(inputs=[image], data_samples=samples(torch.zeros(1, 37, 53).long()))
    with torch.no_grad():
        inputs = model.data_preprocessor(dict(data))['inputs']
        logits = views_by_hand(model, inputs, 'd4')[0]
        augment(model, 'd4')
        (output,) = model.test_step(data)
    assert torch.equal(output.pred_sem_seg.data, (logits.sigmoid() > 0.4).float())


def test_segmentor_is_found_under_the_wrappers_of_mmengine():
    model = noisy()
    views = MODELS.build(dict(type='SegTTAModel', module=model))
    assert segmentor_of(views) is segmentor_of(model) is model


def test_earlier_name_of_the_augmentation_says_the_new_one():
    with pytest.raises(ValueError, match=r'SymmetryTTAModel is model\.test_cfg\.tta now: take'):
        MODELS.build(dict(type='SymmetryTTAModel', module=tiny_model(), symmetries='d4'))

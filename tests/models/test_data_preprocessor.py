import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from scenes.models import tiny_model
from scenes.prediction import STOCK

from mobanet_mmseg.models.data_preprocessor import MultimodalDataPreProcessor, select_modality


def preprocessor(**overrides):
    config = dict(mean=[1.0, 2.0, 3.0, 0.5], std=[1.0, 2.0, 4.0, 0.5], size_divisor=14)
    return MultimodalDataPreProcessor(**{**config, **overrides})


def batch(count=2, height=20, width=30):
    samples = []
    for _ in range(count):
        label = torch.randint(0, 6, (1, height, width))
        shape = dict(img_shape=(height, width), ori_shape=(height, width))
        samples.append(SegDataSample(metainfo=shape, gt_sem_seg=PixelData(data=label)))
    return dict(inputs=[torch.rand(4, height, width) * 9 for _ in samples], data_samples=samples)


def test_each_stacked_channel_is_normalised_by_its_own_mean_and_std():
    data = batch(count=1)
    data['inputs'][0][:, 0, 0] = torch.tensor([2.0, 2.0, 11.0, 1.0])
    inputs = preprocessor()(data)['inputs']
    torch.testing.assert_close(inputs[0, :, 0, 0], torch.tensor([1.0, 0.0, 2.0, 1.0]))


def test_padding_keeps_pixels_where_they_are():
    data = batch(height=256, width=242)
    raw = torch.stack(data['inputs'])
    labels = torch.stack([sample.gt_sem_seg.data for sample in data['data_samples']])
    padded = preprocessor(mean=[0.0] * 4, std=[1.0] * 4)(data, training=True)
    assert padded['inputs'].shape == (2, 4, 266, 252)
    assert torch.equal(padded['inputs'][..., :256, :242], raw)
    assert padded['inputs'][..., 256:, :].abs().sum() == 0
    padded_labels = torch.stack([sample.gt_sem_seg.data for sample in padded['data_samples']])
    assert torch.equal(padded_labels[..., :256, :242], labels)
    assert (padded_labels[..., 256:, :] == 255).all()
    assert (padded_labels[..., 242:] == 255).all()


@pytest.mark.parametrize(('modality', 'zeros'), [('both', []), ('rgb', [3]), ('aux', [0, 1, 2])])
def test_the_other_modality_is_zero_after_normalisation(modality, zeros):
    inputs = preprocessor(modality=modality)(batch())['inputs']
    found = [channel for channel in range(4) if not inputs[:, channel].any()]
    assert found == zeros


def test_masking_happens_in_training_alone():
    prepare = preprocessor(mcrm=dict(ratio=1.0), mean=[-1.0] * 4, std=[1.0] * 4)
    assert not (prepare(batch(), training=False)['inputs'] == 0).any()
    inputs = prepare(batch(height=28, width=42), training=True)['inputs']
    assert (inputs == 0).flatten(1).any(dim=1).all()


def test_samples_of_two_sizes_lose_a_modality_wholly():
    prepare = preprocessor(mcrm=dict(ratio=0, whole_ratio=1.0), mean=[-1.0] * 4, std=[1.0] * 4)
    small, large = batch(count=1), batch(count=1, height=28, width=42)
    data = {key: small[key] + large[key] for key in small}
    inputs = prepare(data, training=True)['inputs']
    gone = ~inputs.flatten(2).any(dim=2)
    assert sorted(gone.tolist()) == [[False, False, False, True], [True, True, True, False]]


def test_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match=r'3 means and 4 stds for 4 stacked channels'):
        preprocessor(mean=[1.0, 2.0, 3.0])
    data = batch()
    data['inputs'] = [image[:3] for image in data['inputs']]
    with pytest.raises(ValueError, match=r'A sample has 3 channels.*expects 4'):
        preprocessor()(data)


def test_unknown_modality_is_refused():
    with pytest.raises(ValueError, match="modality='dsm'"):
        preprocessor(modality='dsm')


def test_the_optical_image_alone_is_one_modality():
    options = dict(mean=[1.0, 2.0, 3.0], std=[1.0, 2.0, 4.0], modality_channels=(3, 0))
    data = batch(count=1)
    data['inputs'] = [image[:3] for image in data['inputs']]
    for modality in ('both', 'rgb'):
        inputs = preprocessor(**options, modality=modality)(data, training=True)['inputs']
        assert inputs.shape[1] == 3
        assert inputs.flatten(2).any(dim=2).all()
    with pytest.raises(ValueError, match=r"modality='aux', but the model has none .*\(3, 0\)"):
        preprocessor(**options, modality='aux')
    with pytest.raises(ValueError, match=r'modality_channels=\(3, 0\); it masks one of two'):
        preprocessor(**options, mcrm=dict(ratio=0.25))


def test_modality_of_a_built_model_is_selected_under_its_wrappers():
    model = MODELS.build(tiny_model())
    views = MODELS.build(dict(type='SegTTAModel', module=model))
    assert select_modality(views, 'aux') == 'both'
    assert select_modality(model, 'both') == 'aux'
    with pytest.raises(ValueError, match="modality='dsm'; it is 'both', 'rgb' or 'aux'"):
        select_modality(model, 'dsm')


def test_modality_of_a_model_that_knows_none_is_refused():
    with pytest.raises(ValueError, match='SegDataPreProcessor, which cannot leave a modality out'):
        select_modality(MODELS.build(STOCK), 'rgb')


@pytest.mark.parametrize(('modality', 'zeros'), [('both', []), ('rgb', [3]), ('aux', [0, 1, 2])])
def test_a_stock_preprocessor_drops_a_modality_where_the_channels_are_told(modality, zeros):
    model = MODELS.build(STOCK)
    assert select_modality(model, 'aux', (3, 1)) == 'both'
    assert select_modality(model, modality) == 'aux'  # it knows now
    inputs = model.data_preprocessor(batch())['inputs']
    assert [channel for channel in range(4) if not inputs[:, channel].any()] == zeros


def test_a_stock_preprocessor_of_the_optical_image_alone_has_no_other():
    model = MODELS.build(dict(STOCK, data_preprocessor=dict(type='SegDataPreProcessor')))
    assert select_modality(model, 'rgb', (3, 0)) == 'both'
    with pytest.raises(ValueError, match=r"modality='aux', but the model has none .*\(3, 0\)"):
        select_modality(model, 'aux', (3, 0))


@pytest.mark.parametrize('left', [dict(size=(64, 64)), dict(bgr_to_rgb=True)])
def test_what_a_stock_preprocessor_leaves_in_a_config_is_refused(left):
    with pytest.raises(ValueError, match=r'has (size|bgr).*put _delete_=True into data_prepr'):
        preprocessor(**left)

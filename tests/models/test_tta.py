import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData
from mmseg.registry import MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from scenes.models import tiny_model

from mobanet_mmseg.tiling.symmetries import SYMMETRIES, apply_symmetry, undo_symmetry

SIZE = (37, 53)


def model_of(kind='MoBaNet', **overrides):
    """A toy segmentor with weights of which no two views get the same prediction."""
    model = MODELS.build(tiny_model(type=kind, **overrides)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def sample_of(size=SIZE, labelled=True):
    sample = SegDataSample(
        metainfo=dict(img_path='tile.tif', ori_shape=size, img_shape=size, window=(3, 5, *size))
    )
    if labelled:
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, *size)))
    return sample


def batch_of(number=1, labelled=True):
    return pseudo_collate(
        [
            dict(inputs=255 * torch.rand(4, *SIZE), data_samples=sample_of(labelled=labelled))
            for _ in range(number)
        ]
    )


def average_by_hand(model, image, symmetries):
    """Predict each view of a (C, H, W) image alone, turn it back, and average."""
    probabilities = []
    for k in symmetries:
        turned = apply_symmetry(image, k)
        size = tuple(turned.shape[-2:])
        (output,) = model.test_step(
            dict(inputs=[turned], data_samples=[sample_of(size, labelled=False)])
        )
        probabilities.append(undo_symmetry(output.seg_logits.data.softmax(dim=0), k))
    return torch.stack(probabilities).mean(dim=0)


@pytest.mark.parametrize('kind', ['MoBaNet', 'TiledEncoderDecoder', 'EncoderDecoder'])
@pytest.mark.parametrize('symmetries', ['flips', 'd4', (0, 3)])
def test_prediction_is_that_of_the_average_over_the_views(kind, symmetries):
    # MMSeg's own segmentor does not pad its windows: these are multiples of the patches
    model = model_of(kind, test_cfg=dict(mode='slide', crop_size=(28, 28), stride=(21, 21)))
    data = batch_of(2)
    numbers = SYMMETRIES.get(symmetries, symmetries)
    with torch.no_grad():
        augmented = MODELS.build(
            dict(type='SymmetryTTAModel', module=model, symmetries=symmetries)
        ).test_step(data)
        expected = [average_by_hand(model, image, numbers) for image in data['inputs']]
        plain = model.test_step(data)
    for one, average in zip(augmented, expected, strict=True):
        assert torch.equal(one.pred_sem_seg.data, average.argmax(dim=0, keepdim=True))
    changed = [
        (one.pred_sem_seg.data != other.pred_sem_seg.data).any()
        for one, other in zip(augmented, plain, strict=True)
    ]
    assert all(changed)  # so that the test above says something


def test_labels_and_place_stay_as_they_are():
    data = batch_of()
    images = [image.clone() for image in data['inputs']]
    truth = data['data_samples'][0].gt_sem_seg.data.clone()
    with torch.no_grad():
        (merged,) = MODELS.build(dict(type='SymmetryTTAModel', module=model_of())).test_step(data)
    assert torch.equal(merged.gt_sem_seg.data, truth)
    assert merged.window == (3, 5, 37, 53) and merged.ori_shape == SIZE
    assert merged.pred_sem_seg.data.shape == (1, *SIZE)
    assert data['data_samples'][0].ori_shape == SIZE
    assert torch.equal(data['inputs'][0], images[0])


def test_labels_are_not_needed():
    with torch.no_grad():
        (merged,) = MODELS.build(dict(type='SymmetryTTAModel', module=model_of())).test_step(
            batch_of(labelled=False)
        )
    assert 'gt_sem_seg' not in merged
    assert merged.pred_sem_seg.data.shape == (1, *SIZE)


def test_one_channel_is_averaged_and_compared_with_its_threshold():
    head = dict(tiny_model().decode_head, num_classes=2, out_channels=1, threshold=0.4)
    head['loss_decode'] = dict(type='CrossEntropyLoss', use_sigmoid=True)
    model = model_of(decode_head=head, auxiliary_head=None)
    data = batch_of()
    with torch.no_grad():
        (merged,) = MODELS.build(dict(type='SymmetryTTAModel', module=model)).test_step(data)
        average = torch.zeros(1, *SIZE)
        for k in range(8):
            turned = apply_symmetry(data['inputs'][0], k)
            sample = sample_of(tuple(turned.shape[-2:]), labelled=False)
            (output,) = model.test_step(dict(inputs=[turned], data_samples=[sample]))
            average += undo_symmetry(output.seg_logits.data, k) / 8  # MMSeg gives the sigmoid
    assert torch.equal(merged.pred_sem_seg.data, (average > 0.4).float())


def test_views_of_test_time_aug_are_averaged_as_mmseg_does():
    transform = TRANSFORMS.build(
        dict(
            type='TestTimeAug',
            transforms=[
                [dict(type='Resize', scale_factor=factor) for factor in (1.0, 1.5)],
                [
                    dict(type='RandomFlip', prob=0.0),
                    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                    dict(type='RandomFlip', prob=1.0, direction='vertical'),
                ],
                [dict(type='PackSegInputs')],
            ],
        )
    )
    image = np.random.default_rng(0).uniform(0, 255, (*SIZE, 4)).astype(np.float32)
    results = dict(img=image, img_path='tile.tif', img_shape=SIZE, ori_shape=SIZE, seg_fields=[])
    model = model_of()
    predictions = []
    for kind in ('SymmetryTTAModel', 'SegTTAModel'):
        data = pseudo_collate([transform(dict(results))])
        with torch.no_grad():
            (merged,) = MODELS.build(dict(type=kind, module=model)).test_step(data)
        predictions.append(merged.pred_sem_seg.data.reshape(SIZE))
    assert torch.equal(*predictions)


def test_symmetry_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="give 'flips', 'd4' or different numbers"):
        MODELS.build(dict(type='SymmetryTTAModel', module=model_of(), symmetries='rotations'))

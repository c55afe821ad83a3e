"""MMSegmentation's own Python face on our models, as docs/mmseg_tools.md shows it."""

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer, inference_model, init_model
from scenes.inferencer import write_tiny_scene
from scenes.paths import ROOT

from mobanet_mmseg import MultimodalInferencer

BASES = [ROOT / 'configs/_base_' / name for name in ('datasets/pipeline.py', 'default_runtime.py')]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config file, checkpoint, the stacked image as it is loaded, and its labels by our own."""
    init_default_scope('mmseg')
    tiny = write_tiny_scene(tmp_path_factory.mktemp('tiny'))
    config, checkpoint = tiny['model']
    config.write_text(f'_base_ = {[*map(str, BASES)]}\n{config.read_text()}')
    ours = MultimodalInferencer(config, checkpoint, device='cpu')
    with ours.open_pair(*tiny['pair']) as pair:
        stack, _ = pair.read()
    labels = ours(*tiny['pair']).labels
    assert len(np.unique(labels)) > 1
    return config, str(checkpoint), np.moveaxis(stack, 0, -1), labels


def test_inference_model_takes_stacked_arrays(trained):
    config, checkpoint, stack, labels = trained
    model = init_model(config, checkpoint, device='cpu')
    one = inference_model(model, stack)
    np.testing.assert_array_equal(one.pred_sem_seg.data[0].numpy(), labels)
    for each in inference_model(model, [stack, stack]):
        np.testing.assert_array_equal(each.pred_sem_seg.data[0].numpy(), labels)


def test_inference_model_says_that_a_file_alone_is_too_little(trained):
    config, checkpoint, *_ = trained
    with pytest.raises(ValueError, match=r'rgb\.tif comes without img_bands.*MultimodalInferencer'):
        inference_model(
            init_model(config, checkpoint, device='cpu'), str(config.with_name('rgb.tif'))
        )


def test_mmsegs_inferencer_takes_stacked_arrays_through_its_own_pipeline(trained):
    path, checkpoint, stack, labels = trained
    config = Config.fromfile(path)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    config.test_dataloader.dataset.pipeline = pipeline
    found = MMSegInferencer(config, checkpoint, device='cpu')(stack)
    np.testing.assert_array_equal(found['predictions'], labels)

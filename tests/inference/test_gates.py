import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.models.utils import resize
from scenes.inferencer import write_tiny, write_tiny_scene
from scenes.models import tiny_model

from mobanet_mmseg.inference.gates import find_gates, gate_rows
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.models.gates import GateWatch


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """A toy MoBaNet whose gates depend on what they see, and 61 x 95 pixels."""
    init_default_scope('mmseg')
    scene = write_tiny_scene(tmp_path_factory.mktemp('gates'))
    checkpoint = scene['model'][1]
    content = torch.load(checkpoint, weights_only=True)
    torch.manual_seed(0)
    for name, value in content['state_dict'].items():
        if '.gate.3.weight' in name:
            value.normal_()
    torch.save(content, checkpoint)
    return scene


def watched(scene, **options):
    inferencer = MultimodalInferencer(*scene['model'], device='cpu', **options)
    with inferencer.open_pair(*scene['pair'], aux_range=None) as source:
        return inferencer, list(gate_rows(inferencer, find_gates(inferencer), source))


def test_one_window_gives_what_the_network_gives(scene):
    inferencer, rows = watched(scene, window=(61, 95))
    model = inferencer.model
    padded = torch.nn.functional.pad(scene['inputs'], (0, -95 % 14, 0, -61 % 14))
    with torch.no_grad(), GateWatch(model) as watch:
        model.extract_feat(padded)
    for stage in range(4):
        for index, kind in enumerate(('weight', 'share')):
            values = watch.gates[stage][index]
            size = padded.shape[-2:]
            whole = resize(values[:, None], size, mode='bilinear', align_corners=False)
            expected = 1 - whole[0, 0, :61, :95].numpy()
            given = np.concatenate([getattr(row, kind)[stage] for row in rows])
            np.testing.assert_allclose(given, expected, atol=1e-5)
    assert np.ptp(np.concatenate([row.weight[0] for row in rows])) > 0.01


def test_windows_cover_each_pixel_once(scene):
    _, rows = watched(scene, window=(28, 42), stride=(14, 28))
    covered = np.zeros((61, 95), int)
    for row in rows:
        assert row.weight.shape == row.share.shape == (4, *row.window[2:])
        assert row.weight.min() >= 0
        assert row.weight.max() <= 1
        covered[row.window.rows, row.window.cols] += 1
    assert (covered == 1).all()


def test_a_model_that_averages_is_refused_in_a_sentence(tmp_path):
    config = tiny_model()
    config.neck.gated = False
    inferencer = MultimodalInferencer(*write_tiny(tmp_path, config), device='cpu')
    with pytest.raises(ValueError, match=r'The MoBaNet of .* has no DGFM, .*: give a model with'):
        find_gates(inferencer)

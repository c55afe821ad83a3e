from types import SimpleNamespace

import pytest
import torch
from mmseg.registry import HOOKS, MODELS
from scenes.encoders import tiny_dinov3
from scenes.models import tiny_model, tiny_vit
from scenes.training import run, write_training

from mobanet_mmseg.engine.compile_hook import CompileHook


@pytest.mark.parametrize('encoder', [tiny_vit(), tiny_dinov3(patch_size=14)])
def test_compiled_blocks_give_the_same_features_under_the_same_names(encoder):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    config = tiny_model()
    config.backbone.encoder = encoder
    model = MODELS.build(config).train()
    images = torch.rand(2, 4, 28, 42)
    plain, names = model.backbone(images), list(model.state_dict())
    CompileHook(backend).before_train(SimpleNamespace(model=model))
    torch.testing.assert_close(model.backbone(images), plain)
    assert graphs
    assert list(model.state_dict()) == names


def test_a_model_without_blocks_to_compile_is_refused(tmp_path, monkeypatch):
    hook = HOOKS.build(dict(type='CompileHook'))
    with pytest.raises(ValueError, match=r'and this model has none: leave it out'):
        hook.before_train(SimpleNamespace(model=torch.nn.Linear(3, 2)))
    folder = write_training(tmp_path)
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
    arch['global_attn_indexes'] = []
    sam = dict(type='SAM', arch=arch, img_size=112, patch_size=14, window_size=3)
    text = (folder / 'config.py').read_text()
    options = f"\nmodel['backbone']['encoder'] = {sam}\n"
    (folder / 'config.py').write_text(text + options)
    with pytest.raises(SystemExit, match=r"^error: CompileHook .* has SAM's, whose blocks are no"):
        run(monkeypatch, folder, 'train', '--compile')

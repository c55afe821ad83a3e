"""An exported network gives torch's logits at any size, and predicts rasters without it."""

import json
import sys

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS
from scenes.models import tiny_model, tiny_vit
from scenes.paths import ROOT
from scenes.prediction import CLASSES, DATASET, PALETTE, LargestChannel, write_trained
from scenes.toy import toy

from mobanet_mmseg import OnnxInferencer
from mobanet_mmseg.classes import Classes
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.onnx_export import export_onnx
from mobanet_mmseg.inference.onnx_settings import OnnxSettings
from mobanet_mmseg.modalities import AuxRange, Scaling, StackSpec

SAM = dict(
    type='SAM',
    arch=dict(
        embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32, global_attn_indexes=[1]
    ),
    img_size=80,
    window_size=3,
)
ARCH = dict(tiny_vit()['arch'], num_layers=2)
DINOV3 = dict(type='DINOv3', arch=ARCH)
HEAD = dict(
    type='FCNHead', in_channels=8, channels=8, num_convs=0, concat_input=False, num_classes=3
)


def two_blocks(encoder: dict, divisor: int) -> ConfigDict:
    """A MoBaNet of two blocks and a head of one convolution."""
    model = tiny_model(decode_head=HEAD, auxiliary_head=None)
    model.backbone.encoder, model.backbone.out_indices = ConfigDict(encoder), (0, 1)
    model.neck.update(num_stages=2)
    model.data_preprocessor.size_divisor = divisor
    return model


def unetformer() -> ConfigDict:
    model = toy(Config.fromfile(ROOT / 'configs/unetformer/unetformer_potsdam.py'))
    model.decode_head.num_classes = 3
    return model


NETWORKS = {  # 45 x 60 are padded within the file to 56 x 70
    'DINOv2': (
        lambda: two_blocks(tiny_vit(arch=ARCH), 14),
        (45, 60),
    ),
    'SAM': (lambda: two_blocks(SAM, 16), (64, 112)),
    'DINOv3': (lambda: two_blocks(DINOV3, 16), (40, 90)),
    'UNetFormer': (unetformer, (96, 160)),
}


def shake(checkpoint):
    """Let nothing be 0 that training would move: adapters, gates, positions."""
    content = torch.load(checkpoint, weights_only=True)
    for value in content['state_dict'].values():
        if value.is_floating_point() and not value.any():
            value.normal_(std=0.1)
    torch.save(content, checkpoint)


@pytest.mark.parametrize('name', NETWORKS)
def test_the_file_gives_torchs_logits_at_any_size(name, tmp_path):
    build, size = NETWORKS[name]
    model = build()
    bands = {} if len(model.data_preprocessor.mean) == 4 else {'aux_bands': ()}
    paths = write_trained(tmp_path, model.to_dict(), dataset=DATASET | bands)
    shake(paths[1])
    assert export_onnx(*paths, tmp_path / 'm.onnx').agreement > 0.999
    torch_model = MultimodalInferencer(*paths, device='cpu')
    channels = torch_model.spec.num_channels
    ours = OnnxInferencer(tmp_path / 'm.onnx', device='cpu')
    for images, (height, width) in ((3, size), (1, (70, 80))):  # no multiple of most
        windows = torch.rand(images, channels, height, width) * 255
        with torch.inference_mode():
            expected = torch_model.network(windows)
        torch.testing.assert_close(ours.network(windows), expected, rtol=0, atol=1e-4)


@pytest.fixture
def exported(tiny):
    """The toy MoBaNet of ``tiny`` as a file."""
    export_onnx(*tiny['model'], tiny['out'].with_name('tiny.onnx'))
    return tiny | {'onnx': tiny['out'].with_name('tiny.onnx')}


def test_rasters_get_torchs_labels_and_probabilities(exported):
    path = exported['onnx']
    for options in ({}, {'modality': 'rgb'}, {'tta': 'flips', 'blend': 'cosine', 'batch_size': 3}):
        expected = MultimodalInferencer(*exported['model'], device='cpu', **options)
        found = OnnxInferencer(path, device='cpu', **options)
        assert found.tiling == expected.tiling
        pair = exported['pair'] if 'modality' not in options else exported['pair'][:1]
        wanted, given = (each(*pair, probabilities=True) for each in (expected, found))
        assert options or len(np.unique(wanted.labels)) > 1  # else nothing is compared
        assert (wanted.labels == given.labels).mean() >= 0.9999
        assert np.abs(wanted.probabilities - given.probabilities).max() <= 1.01 / 254
        assert (given.crs, given.transform) == (wanted.crs, wanted.transform)
        assert (given.classes, given.palette) == (wanted.classes, wanted.palette)


@pytest.mark.parametrize(('precision', 'same'), [('fp16', 0.98), ('int8', 0.8)])
def test_lower_precisions_stay_close(tmp_path, precision, same):
    paths = write_trained(tmp_path, two_blocks(tiny_vit(arch=ARCH), 14).to_dict())
    out = tmp_path / 'low.onnx'
    told = export_onnx(*paths, out, precision)
    assert told.settings.precision == precision
    assert told.num_bytes == out.stat().st_size
    assert told.agreement > same
    kinds = {tensor.data_type for tensor in onnx.load(out).graph.initializer}
    wanted = {'fp16': onnx.TensorProto.FLOAT16, 'int8': onnx.TensorProto.INT8}
    assert wanted[precision] in kinds


def test_an_encoder_that_overflows_in_fp16_is_refused(tmp_path):
    paths = write_trained(tmp_path, two_blocks(DINOV3, 16).to_dict())
    with pytest.raises(ValueError, match='leaves the range of 16-bit floats: .* without --fp16'):
        export_onnx(*paths, tmp_path / 'm.onnx', 'fp16')


def test_settings_pass_through_json():
    settings = OnnxSettings(
        classes=Classes(('straße', 'b'), [[1, 2, 3], [4, 5, 6]]),
        spec=StackSpec((3, 2, 1), (2, 1), AuxRange.parse(((0, 1), (5.5, 7), True)), aux_fill=0.25),
        mean=(1.0, 2.0, 3.0, 4.0, 5.0),
        test_cfg=dict(mode='slide', crop_size=(28, 42), stride=(14, 28), blend='cosine'),
        needs_aux=False,
        modality='both',
        aux_kind='sar',
        temperature=1.5,
        out_channels=1,
        threshold=0.3,
        precision='fp16',
        source=('a.py', 'b.pth'),
    )
    again = OnnxSettings.of_json(settings.to_json(), 'm.onnx')
    assert (again.spec, again.classes, again.mean) == (
        settings.spec,
        settings.classes,
        settings.mean,
    )
    assert again.spec.aux_range.scaling == Scaling((0.0, 1.0), (5.5, 7.0), True)
    with pytest.raises(ValueError, match='m.onnx was exported by another version'):
        OnnxSettings.of_json('{"format": 2}', 'm.onnx')


def test_a_file_of_others_or_of_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.onnx is not there'):
        OnnxInferencer(tmp_path / 'none.onnx')
    (tmp_path / 'text.onnx').write_text('no model')
    with pytest.raises(
        ValueError, match=r'text.onnx cannot be opened by onnxruntime \(.*give a file'
    ):
        OnnxInferencer(tmp_path / 'text.onnx')
    value = onnx.helper.make_tensor_value_info('x', onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([], 'other', [value], [value])
    opsets = [onnx.helper.make_opsetid('', 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / 'o.onnx'
    )
    with pytest.raises(ValueError, match='o.onnx does not say which bands'):
        OnnxInferencer(tmp_path / 'o.onnx')


def test_what_onnx_has_not_is_one_sentence(scene, monkeypatch):
    class Unpooling(LargestChannel):
        def encode_decode(self, inputs, batch_img_metas):
            return F.max_unpool2d(*F.max_pool2d(inputs, 1, return_indices=True), 1) * self.gain

    MODELS.register_module(module=Unpooling, force=True)
    scene['config'].write_text(scene['config'].read_text().replace('LargestChannel', 'Unpooling'))
    before = sorted(scene['out'].parent.iterdir())
    with pytest.raises(ValueError, match="has what ONNX has not .*'aten::max_unpool2d'"):
        export_onnx(scene['config'], scene['checkpoint'], scene['out'].with_name('m.onnx'))
    assert sorted(scene['out'].parent.iterdir()) == before


def test_a_size_that_the_network_holds_fast_to_is_one_sentence(scene):
    class OfOneSize(LargestChannel):
        def encode_decode(self, inputs, batch_img_metas):
            return inputs + torch.zeros(int(inputs.shape[2]), 1) * self.gain

    MODELS.register_module(module=OfOneSize, force=True)
    scene['config'].write_text(scene['config'].read_text().replace('LargestChannel', 'OfOneSize'))
    with pytest.raises(ValueError, match='holds fast to the size of the image'):
        export_onnx(scene['config'], scene['checkpoint'], scene['out'].with_name('m.onnx'))


def test_without_onnxruntime_a_sentence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ValueError, match=r"onnxruntime .*pip install -e '.*\[onnx\]'"):
        OnnxInferencer(tmp_path / 'm.onnx')


TOLD = OnnxSettings(
    classes=Classes(CLASSES, PALETTE),
    spec=StackSpec(),
    mean=(0.0,) * 4,
    test_cfg=dict(mode='slide', crop_size=(16, 24), stride=(8, 12)),
    needs_aux=True,
    modality='both',
    aux_kind='dsm',
    temperature=1.0,
    out_channels=4,
    threshold=None,
    precision='fp32',
    source=('a.py', 'b.pth'),
)


def write_joined(path, told, kind=onnx.TensorProto.FLOAT, channels=(3, 1), sides=('H', 'W')):
    """A file whose logits are its images, with what it is to say of itself."""
    values = [
        onnx.helper.make_tensor_value_info(name, kind, ['B', count, *sides])
        for name, count in zip(('rgb', 'aux', 'logits'), (*channels, sum(channels)), strict=True)
    ]
    node = onnx.helper.make_node('Concat', ['rgb', 'aux'], ['logits'], axis=1)
    graph = onnx.helper.make_graph([node], 'joined', values[:2], values[2:])
    opsets = [onnx.helper.make_opsetid('', 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    model.metadata_props.add(key='mobanet_mmseg', value=told)
    onnx.save(model, path)
    return path


def test_a_file_of_another_network_than_it_tells_of_is_refused(tmp_path):
    path, told = tmp_path / 'm.onnx', TOLD.to_json()
    OnnxInferencer(write_joined(path, told), device='cpu')
    for odd in (
        dict(kind=onnx.TensorProto.FLOAT16),
        dict(channels=(2, 2)),
        dict(channels=(3, 2)),
        dict(sides=(32, 32)),
    ):
        with pytest.raises(ValueError, match='but its network has .*export it anew'):
            OnnxInferencer(write_joined(path, told, **odd), device='cpu')
    with pytest.raises(ValueError, match='^onnxruntime has no device'):
        OnnxInferencer(write_joined(path, told), device='tpu')


@pytest.mark.parametrize(
    'change',
    [
        dict(classes=dict(names=['a', 'b'], palette=[[0, 0, 0]] * 2)),
        dict(classes=dict(names=CLASSES, palette=[[0, 0, 0]])),
        dict(classes=dict(names=CLASSES, palette=[[0, 0]] * 4)),
        dict(classes=['a']),
        dict(spec={}),
        dict(mean=[0]),
        dict(temperature=0),
        dict(modality='all'),
        dict(test_cfg=None),
        dict(test_cfg=dict(mode='slide')),
        dict(test_cfg=dict(mode='slide', crop_size=[16], stride=[-8])),
        dict(out_channels='4'),
        dict(other=1),
    ],
)
def test_what_a_file_says_of_itself_is_one_sentence_if_it_is_of_no_use(change):
    text = json.dumps({**json.loads(TOLD.to_json()), **change})
    with pytest.raises(ValueError, match='^m.onnx cannot be used, by what it says of itself'):
        OnnxSettings.of_json(text, 'm.onnx')
    for text in ('{', 'null', '[]', '[' * 100_000):
        with pytest.raises(ValueError, match='^m.onnx cannot be used'):
            OnnxSettings.of_json(text, 'm.onnx')

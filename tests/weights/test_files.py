import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.runner import checkpoint
from safetensors.torch import save_file
from scenes.encoders import metas_names, random_encoder
from scenes.models import tiny_vit

from mobanet_mmseg.downloads import kept_path
from mobanet_mmseg.weights import files
from mobanet_mmseg.weights.files import CheckpointError, read_encoder, read_file, read_tensors


@pytest.fixture
def address(tmp_path, monkeypatch):
    """Address of a folder, and the folder; what is fetched goes into another one."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    (tmp_path / 'site').mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'site'))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}', tmp_path / 'site'
    server.shutdown()
    thread.join()
    server.server_close()


class RunsCode:
    """Pickled, asks the reader to run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_names_lose_their_prefix_and_others_are_left_out(tmp_path):
    state = {'backbone.weight': torch.ones(2), 'head.weight': torch.zeros(2)}
    for content in (state, {'state_dict': state, 'meta': {}}, {'model': state}):
        torch.save(content, tmp_path / 'weights.pth')
        assert list(read_tensors(str(tmp_path / 'weights.pth'), 'backbone.')) == ['weight']


def test_missing_file_says_where_to_put_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'weight file .*none\.pth does not exist: .*init_cfg\.checkpoint'
    ):
        read_tensors(str(tmp_path / 'none.pth'))


def test_address_without_network_says_which_file_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = 'http://127.0.0.1:9/vit.pth'  # the discard port: nothing listens
    with pytest.raises(
        FileNotFoundError, match=r'hub/checkpoints/\w{16}/vit\.pth.*cfg-options'
    ) as caught:
        read_tensors(address)
    assert str(caught.value).count('cannot be fetched') == 1


def test_a_short_name_without_network_says_where_the_file_of_its_address_goes(
    tmp_path, monkeypatch
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = 'http://127.0.0.1:9/vgg16-397923af.pth'
    for table in (checkpoint, files):
        monkeypatch.setattr(table, 'get_torchvision_models', lambda: {'vgg16': address})
    with pytest.raises(FileNotFoundError, match='torchvision://vgg16 cannot be f') as error:
        read_tensors('torchvision://vgg16')
    assert f'put it at {kept_path(address)}, or' in str(error.value)


def test_prefix_that_no_name_has_is_refused(tmp_path):
    torch.save({'blocks.0.weight': torch.ones(2)}, tmp_path / 'weights.pth')
    with pytest.raises(
        CheckpointError, match=r"no tensor whose name begins with 'backbone\.'.*blocks"
    ):
        read_tensors(str(tmp_path / 'weights.pth'), 'backbone.')


def test_address_is_fetched_once(address):
    root, site = address
    torch.save({'weight': torch.ones(2)}, site / 'vit.pth')
    first = read_tensors(f'{root}/vit.pth')
    (site / 'vit.pth').unlink()
    assert torch.equal(read_tensors(f'{root}/vit.pth')['weight'], first['weight'])


def test_fetched_file_that_would_run_code_is_refused_and_does_not(address, capfd):
    root, site = address
    torch.save({'state_dict': RunsCode('echo never')}, site / 'evil.pth')
    with pytest.raises(
        CheckpointError,
        match=r'evil\.pth is no weight file',
    ):
        read_tensors(f'{root}/evil.pth')
    assert 'never' not in capfd.readouterr().out


def test_fetched_file_whose_name_promises_another_checksum_is_refused(address):
    root, site = address
    torch.save({'weight': torch.ones(2)}, site / 'vit-01234567.pth')
    with pytest.raises(CheckpointError, match='wrong checksum'):
        read_tensors(f'{root}/vit-01234567.pth')
    (site / 'vit-01234567.pth').rename(site / 'vit-20230426.pth')  # a date is none
    assert read_tensors(f'{root}/vit-20230426.pth').keys() == {'weight'}


def test_the_encoder_is_found_in_a_whole_models_checkpoint(tmp_path):
    state = random_encoder(tiny_vit()).vit.state_dict()
    others = {'backbone.aux_embed.projection.weight': torch.ones(1), 'decode_head.w': torch.ones(1)}
    checkpoint = {f'backbone.encoder.vit.{name}': value for name, value in state.items()}
    torch.save({'state_dict': {**checkpoint, **others}, 'meta': {}}, tmp_path / 'epoch_1.pth')
    assert read_encoder(str(tmp_path / 'epoch_1.pth')).keys() == state.keys()


def test_one_of_several_encoders_is_named_by_its_prefix(tmp_path):
    state = metas_names(random_encoder(tiny_vit()).vit.state_dict())
    both = {f'{who}.{name}': v for who in ('student', 'teacher') for name, v in state.items()}
    torch.save(both, tmp_path / 'two.pth')
    with pytest.raises(
        CheckpointError, match=r'2 encoders.* student\., teacher\.: .*init_cfg\.prefix'
    ):
        read_encoder(str(tmp_path / 'two.pth'))
    assert len(read_encoder(str(tmp_path / 'two.pth'), 'teacher.')) == len(state)


@pytest.mark.parametrize(
    'names',
    [
        ('conv1.weight', 'layer1.0.conv1.weight'),
        ('patch_embed.proj.weight', 'layers.0.blocks.0.attn.qkv.weight'),  # a Swin
    ],
)
def test_file_without_a_known_vit_is_refused(tmp_path, names):
    torch.save(dict.fromkeys(names, torch.ones(1)), tmp_path / 'other.pth')
    with pytest.raises(
        CheckpointError, match=rf'other\.pth holds no ViT that is known.*{names[0]}'
    ):
        read_encoder(str(tmp_path / 'other.pth'))


def test_files_of_no_tensors_are_refused(tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='is no weight file, it holds no dict of tensors'):
        read_tensors(str(tmp_path / 'list.pth'))
    torch.save({}, tmp_path / 'empty.pth')
    with pytest.raises(CheckpointError, match='its names begin like nothing'):
        read_tensors(str(tmp_path / 'empty.pth'))


def test_safetensors_have_the_numbers_shapes_and_types_that_were_saved(address, tmp_path):
    root, site = address
    saved = {'a': torch.tensor([[1.5, -2.0]]), 'b': torch.arange(3, dtype=torch.float16)}
    save_file(saved, site / 'vit.safetensors')
    (tmp_path / 'home').mkdir()
    for source in (str(site / 'vit.safetensors'), f'{root}/vit.safetensors?download=true'):
        read = read_tensors(source)
        assert read.keys() == saved.keys()
        for name, value in saved.items():
            assert torch.equal(read[name], value) and read[name].dtype == value.dtype
    (site / 'vit.safetensors').unlink()
    address = f'{root}/vit.safetensors?download=true'
    assert read_tensors(address).keys() == saved.keys()  # fetched once


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', b'\xff' * 64, None])
def test_safetensors_that_are_cut_or_something_else_are_refused(tmp_path, content):
    path = tmp_path / 'vit.safetensors'
    if content is None:
        save_file({'a': torch.ones(100)}, path)
        content = path.read_bytes()[:-8]
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'vit\.safetensors is no weight file that safetens'):
        read_tensors(str(path))


def test_what_the_training_wrote_is_read(tmp_path):
    content = {'state_dict': {'a': torch.arange(6.0).reshape(2, 3)}, 'meta': {'epoch': 3}}
    for zipped in (True, False):
        torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
        read = read_file(tmp_path / 'a.pth', 'thing', 'do so')
        assert read['meta'] == content['meta']
        assert torch.equal(read['state_dict']['a'], content['state_dict']['a'])


def test_pages_cut_files_and_foreign_pickles_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'a': torch.rand(100, 100)}}, path)
    whole = path.read_bytes()
    for content in (b'', b'<!DOCTYPE html><html></html>', whole[:-100], whole[:1000]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r'is no thing that torch can read .*: do so\.$'):
            read_file(path, 'thing', 'do so')
    for content in ([1], torch.rand(2), {'state_dict': torch.rand(2)}):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=r'is no thing, it holds no dict .*: do so\.$'):
            read_file(path, 'thing', 'do so')


@pytest.mark.parametrize('zipped', [True, False])
def test_a_pickle_that_runs_code_runs_none(tmp_path, zipped):
    path, trace = tmp_path / 'a.pth', tmp_path / 'trace'
    evil = {'state_dict': {}, 'meta': RunsCode(f'touch {trace}')}
    torch.save(evil, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r'is no thing that torch can read .*: do so\.$'):
        read_file(path, 'thing', 'do so')
    assert not trace.exists()

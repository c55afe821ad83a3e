from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mobanet_mmseg.weights.checkpoints import CheckpointError, read_checkpoint
from mobanet_mmseg.weights.harmless import harmless, own_files


def strings_in(value):
    """Every string that is a value, not a name, in nested dicts and lists."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings_in(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in strings_in(item)]
    return [value] if isinstance(value, str) else []


def checkpoint(**changes):
    """What MMEngine writes, in short."""
    info = dict(
        cfg='x = 1', epoch=1, iter=2, best_score=0.5, best_ckpt='/run/best_mIoU_epoch_1.pth'
    )
    content = dict(
        meta=dict(epoch=2, iter=4, seed=7, cfg='x = 1', config='import os', hook_msgs={'a': '/b'}),
        state_dict=OrderedDict(weight=torch.ones(2)),
        message_hub=dict(
            log_scalars={'train/loss': HistoryBuffer([3.0, 5.0], [1, 1])},
            runtime_info={**info, 'last_ckpt': '/run/epoch_2.pth', 'keep_ckpt_ids': [1, 2]},
            resumed_keys=dict.fromkeys([*info, 'train/loss', 'last_ckpt'], True),
        ),
        optimizer=dict(
            state={0: dict(step=torch.ones(()))}, param_groups=[dict(betas=(0.9, 0.99))]
        ),
        param_schedulers=[dict(last_step=4, param_name='lr', base_values=[0.1])],
    )
    return {**content, **changes}


def test_no_text_goes_on_but_classes_and_options_of_the_optimizer():
    content = checkpoint(extra={'path': '/home', 'deep': [('/etc', 3)]})
    content['meta']['dataset_meta'] = {'classes': ('road', 'tree')}
    content['optimizer']['param_groups'][0]['mode'] = 'fast'
    clean = harmless(content)
    assert strings_in(clean) == ['road', 'tree', 'fast']
    assert clean['extra'] == {'deep': [(3,)]}
    assert 'config' not in clean['meta']


def test_what_resuming_needs_goes_on_as_it_is():
    clean = harmless(checkpoint())
    assert {key: clean['meta'][key] for key in ('epoch', 'iter', 'seed')} == dict(
        epoch=2, iter=4, seed=7
    )
    assert clean['message_hub']['runtime_info'] == dict(epoch=1, iter=2, best_score=0.5)
    assert clean['message_hub']['log_scalars']['train/loss'].mean() == 4
    assert clean['optimizer'] == checkpoint()['optimizer']
    assert clean['param_schedulers'] == [dict(last_step=4, base_values=[0.1])]
    assert torch.equal(clean['state_dict']['weight'], torch.ones(2))


def test_versions_of_layers_stay_with_the_weights(tmp_path):
    torch.save({'state_dict': torch.nn.BatchNorm2d(2).state_dict()}, tmp_path / 'norm.pth')
    clean = harmless(read_checkpoint(tmp_path / 'norm.pth'))
    assert clean['state_dict']._metadata['']['version'] == 2


@pytest.mark.parametrize('part', ['meta', 'message_hub', 'state_dict', 'optimizer'])
def test_parts_of_another_kind_are_left_out(part):
    clean = harmless(checkpoint(**{part: {5: object(), 'a': print}}))
    assert strings_in(clean.get(part, {})) == []
    assert not [value for value in clean[part].values() if callable(value)]


def test_a_history_brings_no_attributes_of_its_own():
    history = HistoryBuffer([3.0], [1])
    vars(history).update(current='/etc', max_length='x')
    text = HistoryBuffer([3.0], [1])
    text._log_history = np.array(['/etc'])
    content = checkpoint()
    content['message_hub']['log_scalars'] = {'good': history, 'text': text, 'list': [1]}
    (name, copy), *others = harmless(content)['message_hub']['log_scalars'].items()
    assert (name, copy.current(), others) == ('good', 3, [])


def test_reading_a_history_leaves_the_statistics_of_all_others_alone(tmp_path):
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    state = {**history.__getstate__(), 'statistics_methods': {'mean': HistoryBuffer.max}}
    liar = type('Liar', (), {'__reduce__': lambda self: (HistoryBuffer, (), state)})()
    torch.save({'state_dict': {}, 'history': liar}, tmp_path / 'liar.pth')
    read_checkpoint(tmp_path / 'liar.pth')
    assert history.statistics('mean') == 2


def test_a_checkpoint_that_holds_itself_is_refused():
    content = checkpoint()
    content['optimizer']['again'] = content['optimizer']
    with pytest.raises(CheckpointError, match='holds itself'):
        harmless(content)


@pytest.mark.parametrize(
    ('said', 'found'),
    [
        ('/elsewhere/best_mIoU_epoch_1.pth', 'best_mIoU_epoch_1.pth'),  # the folder was moved
        ('best_gone.pth', None),
        ('../run/../photos', None),
        ('notes.pth', None),  # there, but none of MMEngine's best ones
        ('best_folder.pth', None),
        ('', None),
        (3, None),
    ],
)
def test_only_a_file_of_the_runs_own_folder_is_its_best(tmp_path, said, found):
    for name in ('best_mIoU_epoch_1.pth', 'notes.pth'):
        (tmp_path / name).touch()
    (tmp_path / 'best_folder.pth').mkdir()
    content = {'message_hub': {'runtime_info': {'best_ckpt': said, 'best_ckpt_mIoU': said}}}
    files = own_files(content, tmp_path)
    path = str(tmp_path / found) if found else None
    assert files == ({'best_ckpt': path, 'best_ckpt_mIoU': path} if found else {})


def test_numbers_of_checkpoints_are_numbers(tmp_path):
    said = {'runtime_info': {'keep_ckpt_ids': [1, '../../photos', True, 2.5, 3]}}
    assert own_files({'message_hub': said}, tmp_path) == {'keep_ckpt_ids': [1, 3]}

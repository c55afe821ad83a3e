"""Compares the parts of a config that must agree, before anything starts."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmseg.models import EncoderDecoder
from mmseg.registry import METRICS, MODELS

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.wrappers import build_parts
from mobanet_mmseg.engine.precision import precision_disagreements
from mobanet_mmseg.engine.single_batch import single_batch
from mobanet_mmseg.evaluation.segmentation_metric import SegmentationMetric
from mobanet_mmseg.rasters.files import read_info

MEANS = ('OA', 'mF1', 'mIoU', 'mIoU_all')
KEEP_SIZE = ('Load', 'Pack')  # what transforms are called that leave an image as large as it is


class ConfigError(ValueError):
    """Parts of a config do not agree."""


class Split(NamedTuple):
    """One part of the data of a config.

    Args:
        name: ``'train'``, ``'val'`` or ``'test'``.
        loader: Settings of its data loader.
        datasets: Its datasets, built without a look at their files, and the settings of each; those
            of another kind than MMEngine's are left out.
    """

    name: str
    loader: dict[str, Any]
    datasets: list[tuple[BaseDataset, dict[str, Any]]]


def check_agreement(config: Config, splits: Sequence[str]) -> None:
    """Refuse a config whose parts do not agree.

    Args:
        config: With a model, and data loaders of the splits.
        splits: Which are used: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        ConfigError: The sentences of :func:`disagreements`.
    """
    found = disagreements(config, splits)
    if 'train' in splits:
        found += precision_disagreements(config)
    if found:
        raise ConfigError('\nerror: '.join(found))


def disagreements(config: Config, splits: Sequence[str]) -> list[str]:
    """Say which parts of a config do not agree.

    Args:
        config: With a model, and data loaders of the splits.
        splits: Which are used: ``'train'``, ``'val'``, ``'test'``.

    Returns:
        Sentences that name the keys and what to set them to.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    loaders = {name: config.get(f'{name}_dataloader') for name in splits}
    used = [
        Split(name, loader, _datasets(loader.dataset))
        for name, loader in loaders.items()
        if loader is not None
    ]
    model = config.get('model') or {}
    model = model.get('module', model)  # of a test that averages views
    found = [
        *(text for split in used for text in _workers(split)),
        *_classes(model, used),
        *_losses(model),
        *(text for split in used for text in _channels(model, split)),
        *_maps(model),
        *_mode(model),
        *(text for split in used if split.name != 'train' for text in _sizes(split)),
    ]
    if 'train' in splits:
        found += _best(config, used)
    for split in used:
        if split.name == 'train' and not found:
            found += filter(None, [single_batch(config, _samples(split))])
    return found


def _datasets(settings: dict[str, Any]) -> list[tuple[BaseDataset, dict[str, Any]]]:
    parts = build_parts(settings)
    return [(dataset, part) for part, dataset in parts if dataset is not None]


def _heads(model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each head, by their key in the config."""
    heads = {}
    for key in ('decode_head', 'auxiliary_head'):
        part = model.get(key) or []
        if isinstance(part, list | tuple):
            heads |= {f'model.{key}.{index}': head for index, head in enumerate(part)}
        else:
            heads[f'model.{key}'] = part
    return heads


def _workers(split: Split) -> Iterator[str]:
    size = split.loader.get('batch_size', 1)
    if not isinstance(size, int) or size < 1:
        yield (
            f'{split.name}_dataloader.batch_size is {split.loader.batch_size}: give the samples of '
            'a batch, 1 or more.'
        )
    for key in ('persistent_workers', 'prefetch_factor'):
        if split.loader.get(key) and not split.loader.get('num_workers'):
            name = f'{split.name}_dataloader'
            yield (
                f'{name}.{key}={split.loader[key]}, but {name}.num_workers is 0: set '
                f'{name}.{key}={False if key == "persistent_workers" else None}, or num_workers to '
                '1 or more.'
            )


def _classes(model: dict[str, Any], splits: Sequence[Split]) -> Iterator[str]:
    heads = _heads(model)
    told = set()
    for split in splits:
        for dataset, _ in split.datasets:
            classes = dataset.metainfo.get('classes')
            wrong = {
                f'{name}.num_classes': head['num_classes']
                for name, head in heads.items()
                if classes and head.get('num_classes', len(classes)) != len(classes)
            }
            if wrong and tuple(classes) not in told:
                told.add(tuple(classes))
                yield (
                    f'{_settings(wrong)}, but the {split.name} dataset has {len(classes)} classes '
                    f'({", ".join(map(str, classes))}): set num_classes={len(classes)} there, or '
                    f'correct classes in {split.name}_dataloader.dataset.metainfo.'
                )
            if isinstance(dataset, MultimodalSegDataset) and split is splits[0]:
                yield from _ignored(heads)


def _ignored(heads: dict[str, dict[str, Any]]) -> Iterator[str]:
    wrong = {
        f'{name}.ignore_index': head['ignore_index']
        for name, head in heads.items()
        if head.get('ignore_index', IGNORE_INDEX) != IGNORE_INDEX
    }
    if wrong:
        yield (
            f'{_settings(wrong)}, but the datasets mark pixels without a label by {IGNORE_INDEX}: '
            'leave ignore_index out there.'
        )


def _mode(model: dict[str, Any]) -> Iterator[str]:
    """Look at what MMSegmentation's own segmentors ask for when they first validate."""
    kind, mode = model.get('type'), (model.get('test_cfg') or {}).get('mode', 'whole')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    asks = getattr(kind, 'inference', None) is EncoderDecoder.inference
    if asks and mode not in ('slide', 'whole'):
        yield f"model.test_cfg.mode is {mode!r}: give 'slide' or 'whole'."


def _losses(model: dict[str, Any]) -> Iterator[str]:
    """Compare each head's classes with its channels, and its losses and its sampler with both."""
    for name, head in _heads(model).items():
        num_classes, out_channels = head.get('num_classes'), head.get('out_channels')
        one_channel = out_channels == 1
        if out_channels not in (None, num_classes) and (num_classes, out_channels) != (2, 1):
            yield (
                f'{name}.out_channels={out_channels}, but its num_classes is {num_classes}: leave '
                'out_channels out, or set it to 1 for two classes.'
            )
        if one_channel and (head.get('sampler') or {}).get('thresh') is not None:
            yield (
                f'{name}.sampler asks for the probability of each class (thresh), but out_channels '
                f'is 1: set {name}.sampler=None, or leave out_channels out.'
            )
        losses = head.get('loss_decode') or []
        for loss in losses if isinstance(losses, list | tuple) else [losses]:
            weights = loss.get('class_weight')
            if isinstance(weights, list | tuple) and len(weights) != (out_channels or num_classes):
                yield (
                    f'{name}.loss_decode.class_weight has {len(weights)} weights for '
                    f'{out_channels or num_classes} channels: give one for each.'
                )
            if one_channel and loss['type'] == 'CrossEntropyLoss' and not loss.get('use_sigmoid'):
                yield (
                    f'{name}.out_channels=1, whose softmax is 1 everywhere: set '
                    f'{name}.loss_decode.use_sigmoid=True, or leave out_channels out.'
                )


def _channels(model: dict[str, Any], split: Split) -> Iterator[str]:
    """Compare the bands of a split's datasets with what the model takes."""
    takes = dict(_takes(model))
    for dataset, settings in split.datasets:
        if not isinstance(dataset, MultimodalSegDataset):
            continue
        gives = len(dataset.img_bands), len(dataset.aux_bands)
        for step in settings.get('pipeline', ()):
            if 'modality_channels' in step:  # a mask
                takes[f'{step["type"]}.modality_channels'] = tuple(step['modality_channels'])
                takes[f'len({step["type"]}.fill)'] = len(step['fill'])
        wrong = {
            key: value
            for key, value in takes.items()
            if value != (gives if isinstance(value, tuple) else sum(gives))
        }
        if wrong:
            yield (
                f'{_settings(wrong)}, but the {split.name} dataset gives {gives[0]} optical and '
                f'{gives[1]} auxiliary channels (img_bands={dataset.img_bands}, aux_bands='
                f'{dataset.aux_bands}): make the model take {gives}, {sum(gives)} in all, or '
                'choose other bands.'
            )


def _takes(model: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name the settings of a model that say how many channels it takes: a pair, or their sum."""
    for part in ('data_preprocessor', 'backbone'):
        settings = model.get(part) or {}
        channels = _setting(settings, 'modality_channels')
        if channels is not None:
            yield f'model.{part}.modality_channels', tuple(channels)
        elif part == 'backbone' and isinstance(_setting(settings, 'in_channels'), int):
            yield f'model.{part}.in_channels', _setting(settings, 'in_channels')
    for key in ('mean', 'std'):
        if (model.get('data_preprocessor') or {}).get(key) is not None:
            yield f'len(model.data_preprocessor.{key})', len(model['data_preprocessor'][key])


def _maps(model: dict[str, Any]) -> Iterator[str]:
    """Compare the maps that the heads read with those that there are."""
    backbone, necks = model.get('backbone') or {}, model.get('neck') or []
    inner = backbone.get('backbone', backbone)  # of TwoStream: its inner one
    taps = _setting(inner, 'out_indices')
    if not isinstance(taps, list | tuple) or _has_maps_of_its_own(inner):
        return
    number, streams = len(taps), ''
    necks = necks if isinstance(necks, list | tuple) else [necks]
    if necks and necks[0].get('type') == 'DGFMNeck':
        widths = necks[0].get('in_channels')
        stages = _setting(necks[0], 'num_stages') if isinstance(widths, int) else len(widths)
        if stages != number:
            yield (
                f'model.neck fuses {stages} stages, but model.backbone.out_indices={tuple(taps)} '
                f'are {number}: give one entry of in_channels, or num_stages={number}.'
            )
        if _setting(necks[0], 'unimodal'):
            number, streams = number + 2, ', and the first of each stream'
    elif necks:
        return
    if len(necks) > 1:
        return
    for name, head in _heads(model).items():
        indices = _setting(head, 'in_index')
        indices = indices if isinstance(indices, list | tuple) else [indices]
        if any(not -number <= index < number for index in indices if index is not None):
            yield (
                f'{name}.in_index={head["in_index"]}, but there are {number} maps, 0 to '
                f'{number - 1} (model.backbone.out_indices={tuple(taps)}{streams}): correct '
                'in_index or out_indices.'
            )


def _has_maps_of_its_own(backbone: dict[str, Any]) -> bool:
    """Whether a backbone takes no ``out_indices`` itself, and has another forward than who does."""
    kind = MODELS.get(backbone['type']) if isinstance(backbone.get('type'), str) else None
    if 'out_indices' in backbone or kind is None:
        return False
    owner = next(
        parent
        for parent in kind.__mro__
        if 'out_indices' in inspect.signature(parent.__init__).parameters
    )
    return kind.forward is not owner.forward


def _sizes(split: Split) -> Iterator[str]:
    """Compare the sizes of the tiles that are predicted in one batch."""
    batch_size = split.loader.get('batch_size') or 1
    sizes: dict[tuple[int, int], str] = {}
    for dataset, settings in split.datasets:
        steps = [str(step.get('type')) for step in settings.get('pipeline', ())]
        if not isinstance(dataset, MultimodalSegDataset) or batch_size == 1:
            continue
        if not all(step.startswith(KEEP_SIZE) for step in steps):
            continue
        for tile in dataset.find_tiles():
            try:
                info = read_info(tile['img_path'])
            except (OSError, ValueError):  # the dataset says what is wrong with it
                continue
            sizes.setdefault((info.height, info.width), info.path)
    if len(sizes) > 1:
        (size, path), (other_size, other) = list(sizes.items())[:2]
        yield (
            f'{split.name}_dataloader.batch_size={batch_size}, but its tiles are of {len(sizes)} '
            f'sizes ({path} {size[0]} x {size[1]}, {other} {other_size[0]} x {other_size[1]}), '
            f'which no batch can hold: set {split.name}_dataloader.batch_size=1.'
        )


def _best(config: Config, splits: Sequence[Split]) -> Iterator[str]:
    """Compare the metrics of the best checkpoints with those that are measured."""
    hook = (config.get('default_hooks') or {}).get('checkpoint') or {}
    wanted = hook.get('save_best') or ()
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    settings = config.get('val_evaluator')
    kind = METRICS.get(settings['type']) if isinstance(settings, dict) else None
    if not inspect.isclass(kind) or not issubclass(kind, SegmentationMetric):
        return
    classes = [
        name
        for split in splits
        if split.name == 'val'
        for dataset, _ in split.datasets
        for name in dataset.metainfo.get('classes') or ()
    ]
    known = [*MEANS, *(f'{score}.{name}' for score in ('F1', 'IoU') for name in classes)]
    unknown = [name for name in wanted if name not in (*known, 'auto')]
    if unknown:
        yield (
            f'default_hooks.checkpoint.save_best names {", ".join(unknown)}, which {kind.__name__} '
            f'does not measure: choose of {", ".join(known)}.'
        )


def _samples(split: Split) -> int | None:
    """Count the samples of an epoch; None where there is no end, or none that is known."""
    sampler = split.loader.get('sampler') or {}
    if sampler.get('type') == 'RandomWindowSampler':
        return sampler['num_samples']
    if sampler.get('type') == 'DefaultSampler' and len(split.datasets) == 1:
        dataset, settings = split.datasets[0]
        if settings == split.loader['dataset'] and isinstance(dataset, MultimodalSegDataset):
            return len(dataset.find_tiles())
    return None


def _setting(settings: dict[str, Any], key: str) -> Any:
    """Look a setting of a component up; where it is not given, the component's own default."""
    kind = settings.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if key in settings or not inspect.isclass(kind):
        return settings.get(key)
    for parent in kind.__mro__:
        parameter = inspect.signature(parent.__init__).parameters.get(key)
        if parameter is not None:
            return None if parameter.default is parameter.empty else parameter.default
    return None


def _settings(values: dict[str, Any]) -> str:
    return ', '.join(f'{key}={value}' for key, value in values.items())

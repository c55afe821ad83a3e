"""Measures a model on test sets whose images are degraded, kind by kind and level by level."""

from collections.abc import Iterator, Sequence

from mmengine.runner import Runner

from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.engine.label_hooks import has_labels
from mobanet_mmseg.models.degradation import Degradation, Degrader, install_degrader

Metrics = dict[str, float]


def measure_degradations(
    runner: Runner, degradations: Sequence[Degradation | None], seed: int, block: int
) -> Iterator[tuple[Degradation | None, Metrics]]:
    """Measure a runner's checkpoint on its test set, degraded in one way after the other.

    Model, weights and data are set up once.

    Args:
        runner: Built for a test; its config says which checkpoint.
        degradations: What is measured; None is the images as they are.
        seed: What is drawn follows from it.
        block: Side of the masked blocks, pixels.

    Yields:
        Each of them, and what the evaluator gives.

    Raises:
        ValueError: If there are no labels, or no such modality.
    """
    loop = runner.test_loop
    channels = modality_channels_of(loop.dataloader.dataset)
    if channels is None:
        raise ValueError(
            'The test set is not of MultimodalSegDatasets with equal bands, which say where a '
            'modality is in the images: give a config of such a one.'
        )
    modalities = {each.modality for each in degradations if each is not None}
    if not channels[1] and 'aux' in modalities:
        raise ValueError('The model sees the optical image alone: give --of rgb.')
    if not has_labels(runner):
        raise ValueError(
            'The test set has no labels (seg_map_path) to measure against: give it its labels.'
        )
    degrader = Degrader(channels, seed, block)
    install_degrader(runner.model, degrader)
    runner.call_hook('before_run')
    runner.load_or_resume()
    for degradation in degradations:
        degrader.degradation = degradation
        yield degradation, {name: float(value) for name, value in loop.run().items()}
    runner.call_hook('after_run')

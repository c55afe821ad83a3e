"""MoBaNet for MMSegmentation: optical + auxiliary images segmented with one frozen ViT.

Importing the package patches the stack where it needs it and registers every component.
"""

from importlib.util import find_spec

_missing = [name for name in ('mmcv', 'mmengine', 'mmseg', 'mmpretrain') if find_spec(name) is None]
if _missing:
    raise ModuleNotFoundError(
        f'mobanet_mmseg needs {", ".join(_missing)}, which this Python has not: install '
        "mobanet_mmseg[lite] for OpenMMLab's packages with mmcv-lite, mobanet_mmseg[openmmlab] "
        'beside a mmcv of your own, or mobanet_mmseg[onedl] for their maintained forks.'
    )

from mobanet_mmseg.compat import patch_stack  # noqa: E402

patch_stack()

from mobanet_mmseg import (  # noqa: E402  (MMSeg imports only after the stack is patched)
    datasets,
    engine,
    evaluation,
    inference,
    models,
    visualization,
)

__version__ = '0.2.0'
__all__ = ['datasets', 'engine', 'evaluation', 'inference', 'models', 'visualization']


def __getattr__(name: str) -> type:
    """Give the Python face of prediction, which is imported where it is asked for alone."""
    if name == 'MultimodalInferencer':
        from mobanet_mmseg.inference.inferencer import MultimodalInferencer

        return MultimodalInferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

"""MoBaNet for MMSegmentation: optical + auxiliary images segmented with one frozen ViT.

Importing the package patches the stack where it needs it and registers every component.
"""

from mobanet_mmseg.installation import check_installation

check_installation()

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
    """Give the Python faces of prediction, which are imported where they are asked for alone."""
    if name == 'MultimodalInferencer':
        from mobanet_mmseg.inference.inferencer import MultimodalInferencer

        return MultimodalInferencer
    if name == 'OnnxInferencer':
        from mobanet_mmseg.inference.onnx_inferencer import OnnxInferencer

        return OnnxInferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

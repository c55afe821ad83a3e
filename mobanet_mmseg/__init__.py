"""MoBaNet for MMSegmentation: optical + auxiliary images segmented with one frozen ViT.

Importing the package mends the stack where it needs mending and registers every component.
"""

from mobanet_mmseg.compat import mend_stack

mend_stack()

from mobanet_mmseg import (  # noqa: E402  (MMSeg imports only after the stack is mended)
    datasets,
    engine,
    evaluation,
    inference,
    models,
    visualization,
)

__version__ = '0.1.0'
__all__ = ['datasets', 'engine', 'evaluation', 'inference', 'models', 'visualization']

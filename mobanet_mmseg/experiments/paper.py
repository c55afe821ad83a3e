"""What the paper reports: Tables I-V of MoBaNet (arXiv:2603.17705), as they are printed."""

import re
from collections.abc import Sequence
from typing import NamedTuple

# F1 of the five classes that the means count, in the order of the datasets' classes; then the means
COLUMNS = ('impervious_surface', 'building', 'low_vegetation', 'tree', 'car', 'OA', 'mF1', 'mIoU')

_VAIHINGEN = """
U-Net               86.63 90.56 76.84 83.75 72.80  80.73 82.12 70.17
SegNet              86.72 91.31 78.82 84.87 69.66  81.55 82.27 70.55
FuseNet             91.66 96.28 78.98 90.28 81.37  90.51 87.71 78.71
PSPNet              92.79 95.46 84.51 89.94 88.61  90.85 90.26 82.58
ABCNet              96.67 95.44 83.67 89.61 87.19  91.14 90.51 83.04
DC-Swin             96.68 95.85 84.38 89.59 86.31  91.33 90.56 83.13
MAResU-Net          91.97 95.04 83.74 89.35 78.28  90.05 87.68 80.75
UNetFormer          96.57 95.20 83.43 89.35 86.15  90.76 90.14 82.44
vFuseNet            91.0  94.4  84.5  89.9  86.3   90.0  89.22 -
CMFNet              92.36 97.17 80.37 90.82 85.47  91.40 89.48 81.44
CMGFNet             92.81 96.20 84.08 90.26 85.02  90.98 89.67 81.60
TMFNet              91.25 95.70 80.87 88.82 84.60  89.71 88.25 78.70
FTransUNet          92.89 96.02 84.70 89.80 86.94  91.05 90.07 82.18
MANet               92.79 96.14 84.15 90.57 86.78  91.35 90.33 82.60
MoBaNet-SAM-B       93.21 96.51 85.72 91.58 90.06  91.65 90.97 83.66
MoBaNet-SAM-L       94.25 96.35 84.64 92.07 89.14  91.80 91.29 84.17
MoBaNet-DINOv2-B    93.40 96.78 85.54 90.55 89.52  91.78 91.16 83.97
MoBaNet-DINOv2-L    94.18 96.90 84.58 92.03 88.32  91.90 91.39 84.37
"""
_POTSDAM = """
U-Net               86.62 91.96 81.52 84.09 83.55  81.93 85.55 74.92
SegNet              86.77 92.43 79.59 81.79 82.97  81.14 84.71 73.75
FuseNet             92.64 97.48 87.31 85.14 96.10  90.58 91.60 84.86
PSPNet              93.36 96.97 87.75 88.50 95.42  91.08 92.40 84.88
ABCNet              92.26 95.13 85.82 87.96 94.80  89.70 91.19 84.03
DC-Swin             93.65 96.31 87.16 88.31 95.27  90.86 92.14 85.64
MAResU-Net          91.4  95.6  85.8  86.6  93.3   89.0  90.5  83.9
UNetFormer          92.80 95.22 86.83 88.19 95.88  90.28 91.78 85.03
vFuseNet            92.7  96.3  87.3  88.5  95.4   90.6  92.0  -
CMFNet              92.84 97.63 88.00 87.40 95.68  91.16 92.10 85.63
CMGFNet             92.62 97.20 86.46 88.55 94.46  90.59 91.86 85.18
TMFNet              92.83 96.20 89.86 89.09 91.80  91.05 92.21 85.71
FTransUNet          92.70 97.24 87.53 88.64 94.39  90.78 92.10 85.56
MANet               93.94 97.46 89.72 86.41 95.17  90.50 91.82 85.08
MoBaNet-SAM-B       95.15 96.64 90.84 87.45 94.83  91.27 92.58 86.38
MoBaNet-SAM-L       95.64 97.12 90.78 85.95 94.88  91.39 92.73 86.65
MoBaNet-DINOv2-B    94.06 97.57 88.78 90.29 96.29  92.11 93.40 87.80
MoBaNet-DINOv2-L    94.16 97.58 89.08 90.17 96.66  92.23 93.53 88.03
"""


class Cost(NamedTuple):
    """A row of Table III, measured on one RTX 4090.

    Args:
        trainable: Trainable parameters, millions.
        latency_ms: Of an inference.
        fps: Inferences a second.
        memory_mb: Peak memory.
    """

    trainable: str
    latency_ms: str
    fps: str
    memory_mb: str


COST_HEADER = ('trainable (M)', 'latency (ms)', 'FPS', 'memory (MB)')
COSTS = {
    'ABCNet': Cost('13.67', '3.55', '281.61', '194.59'),
    'DC-Swin': Cost('118.39', '14.59', '68.56', '603.83'),
    'UNetFormer': Cost('11.72', '3.58', '279.51', '186.92'),
    'CMGFNet': Cost('43.68', '13.13', '76.18', '357.94'),
    'FTransUNet': Cost('203.40', '38.90', '25.71', '930.35'),
    'MANet': Cost('20.42', '105.36', '9.49', '1741.83'),
    'MoBaNet-DINOv2-B': Cost('6.18', '13.97', '71.60', '402.99'),
}


def _scores(table: str) -> dict[str, dict[str, str]]:
    """Each row's values by column, as they are printed; those that are not are left out."""
    rows = (line.split() for line in table.strip().splitlines())
    return {
        name: {key: value for key, value in zip(COLUMNS, values, strict=True) if value != '-'}
        for name, *values in rows
    }


SCORES = {'potsdam': _scores(_POTSDAM), 'vaihingen': _scores(_VAIHINGEN)}


_COMPONENTS = """
Base                1.91  90.47  91.74  84.95
Base + CPIA         3.99  91.43  92.57  86.33
Base + CPIA + DGFM  5.00  91.73  93.02  87.15
Full                6.18  92.11  93.40  87.80
"""
_ROBUSTNESS = """
Full                both  92.11  93.40  87.80
Full                rgb   91.36  92.74  86.63
Base + CPIA + DGFM  both  91.79  93.09  87.26
Base + CPIA + DGFM  rgb   72.38  76.97  64.20
"""


def _named(table: str, columns: Sequence[str], names: int) -> dict[tuple[str, ...], dict[str, str]]:
    """Values by column of each row, whose first words are its names."""
    rows = (re.split(r'  +', line) for line in table.strip().splitlines())
    return {tuple(cells[:names]): dict(zip(columns, cells[names:], strict=True)) for cells in rows}


# Table IV, by row; Potsdam
COMPONENTS = _named(_COMPONENTS, ('trainable', 'OA', 'mF1', 'mIoU'), names=1)
# Table V, by row and input; Potsdam. Its row without MCRM is not quite that of Table IV.
ROBUSTNESS = _named(_ROBUSTNESS, ('OA', 'mF1', 'mIoU'), names=2)

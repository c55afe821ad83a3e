"""How many channels of each modality the samples of a dataset have."""

from torch.utils.data import Dataset

from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.wrappers import parts


def modality_channels_of(dataset: Dataset) -> tuple[int, int] | None:
    """Count the optical and the auxiliary channels of a dataset's samples.

    Args:
        dataset: A ``MultimodalSegDataset``, or several that are joined or repeated.

    Returns:
        The two numbers; None for datasets of other kinds, or that do not agree.
    """
    found = {
        (len(part.img_bands), len(part.aux_bands))
        if isinstance(part, MultimodalSegDataset)
        else None
        for part in parts(dataset)
    }
    return found.pop() if len(found) == 1 else None

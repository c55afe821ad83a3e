from mobanet_mmseg.datasets import flair, isprs, loading, masking, multimodal

__all__ = ['flair', 'isprs', 'loading', 'masking', 'multimodal']

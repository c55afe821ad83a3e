from mobanet_mmseg.datasets import flair, isprs, loading, multimodal

__all__ = ['flair', 'isprs', 'loading', 'multimodal']

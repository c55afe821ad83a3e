from mobanet_mmseg.datasets import isprs, loading, masking, multimodal

__all__ = ['isprs', 'loading', 'masking', 'multimodal']

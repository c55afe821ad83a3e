"""Metrics that a config names."""

from mobanet_mmseg.evaluation.segmentation_metric import ISPRSMetric, SegmentationMetric

__all__ = ['ISPRSMetric', 'SegmentationMetric']

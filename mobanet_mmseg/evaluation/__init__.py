"""Metrics that a config names."""

from mobanet_mmseg.evaluation.isprs_metric import ISPRSMetric

__all__ = ['ISPRSMetric']

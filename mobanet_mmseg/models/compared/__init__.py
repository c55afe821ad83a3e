from mobanet_mmseg.models.compared.abcnet import ABCNet, ABCNetHead
from mobanet_mmseg.models.compared.cmgfnet import CMGFNetHead, SixLevelResNet
from mobanet_mmseg.models.compared.dcswin import DCSwin, DCSwinHead
from mobanet_mmseg.models.compared.maresunet import MAResUNetHead

__all__ = [
    'ABCNet',
    'ABCNetHead',
    'CMGFNetHead',
    'DCSwin',
    'DCSwinHead',
    'MAResUNetHead',
    'SixLevelResNet',
]

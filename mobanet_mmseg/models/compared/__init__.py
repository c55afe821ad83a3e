from mobanet_mmseg.models.compared.abcnet import ABCNet, ABCNetHead
from mobanet_mmseg.models.compared.cmfnet import CMFNet
from mobanet_mmseg.models.compared.cmgfnet import CMGFNetHead, SixLevelResNet
from mobanet_mmseg.models.compared.dcswin import DCSwin, DCSwinHead
from mobanet_mmseg.models.compared.ftransunet import FTransUNet, FTransUNetHead
from mobanet_mmseg.models.compared.fusenet import FuseNet
from mobanet_mmseg.models.compared.manet import MANet
from mobanet_mmseg.models.compared.maresunet import MAResUNetHead
from mobanet_mmseg.models.compared.segnet import SegNet, SegNetHead
from mobanet_mmseg.models.compared.segnext import StackedMSCAN
from mobanet_mmseg.models.compared.unetformer import UNetFormerHead
from mobanet_mmseg.models.compared.vfusenet import VFuseNet

__all__ = [
    'ABCNet',
    'ABCNetHead',
    'CMFNet',
    'CMGFNetHead',
    'DCSwin',
    'DCSwinHead',
    'FTransUNet',
    'FTransUNetHead',
    'FuseNet',
    'MANet',
    'MAResUNetHead',
    'SegNet',
    'SegNetHead',
    'SixLevelResNet',
    'StackedMSCAN',
    'UNetFormerHead',
    'VFuseNet',
]

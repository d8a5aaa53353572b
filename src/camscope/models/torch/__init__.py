"""The PyTorch adapter: plain modules, timm, torchvision; wrappers (DataParallel, DDP, compiled) unwrapped."""

from camscope.models.torch.adapter import TorchAdapter
from camscope.models.torch.balanced import balanced_gradients
from camscope.models.torch.record import Recorder, Recording, record

__all__ = ["Recorder", "Recording", "TorchAdapter", "balanced_gradients", "record"]

"""PyTorch's adapter: any module, inside wrappers too (DataParallel, DDP, compiled)."""

from camscope.models.torch.adapter import TorchAdapter
from camscope.models.torch.backwards.libragrad import balanced_gradients
from camscope.models.torch.hooks.record import Recorder
from camscope.models.torch.hooks.recording import Recording, record

__all__ = ["Recorder", "Recording", "TorchAdapter", "balanced_gradients", "record"]

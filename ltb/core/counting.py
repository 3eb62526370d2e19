"""FLOPs as torch counts them, with the recurrent layers and the attention that its counter knows in parts alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import backends, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def counted(network: nn.Module) -> Iterator[FlopCounterMode]:
    """Count matrix products and convolutions within; a multiply-add is two FLOPs.

    The LSTM of oneDNN and the recurrent layers of cuDNN are one operation each, as is attention on the CPU, and the counter knows
    none of them: here they are computed product by product.
    """
    with ExitStack() as stack:
        if any(isinstance(module, nn.RNNBase) for module in network.modules()):
            for library in (backends.mkldnn, backends.cudnn):
                stack.enter_context(_without(library))
        stack.enter_context(sdpa_kernel([SDPBackend.MATH]))
        yield stack.enter_context(FlopCounterMode(display=False))


@contextmanager
def _without(library: Any) -> Iterator[None]:
    before = library.enabled
    library.enabled = False
    try:
        yield
    finally:
        library.enabled = before

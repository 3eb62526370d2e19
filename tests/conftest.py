"""One thread a test process (two on a busy core are far slower), and hypothesis without a deadline on noisy machines."""

import torch
from hypothesis import Phase, settings

torch.set_num_threads(1)
settings.register_profile("ltb", deadline=None, phases=[Phase.explicit, Phase.generate, Phase.shrink], max_examples=40)
settings.load_profile("ltb")

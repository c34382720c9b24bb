import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Nets this small gain nothing from a second thread, and lose much on a busy machine."""
    torch.set_num_threads(1)

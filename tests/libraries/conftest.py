"""What the tests of libraries share."""

from tests.torch.conftest import untouched

__all__ = ["untouched"]

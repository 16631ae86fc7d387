"""Networks from and to PyTorch."""

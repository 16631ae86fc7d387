"""Kernels in the lane layout: a batch is cut in blocks of samples, one sample in each lane of a vector.

        [block][C][H][W][lanes]        lanes = 16 samples of float32, 8 of float64 (64 bytes)

Every index below counts whole vectors, so a kernel reads like one for a single sample. Kernels trust
their arguments; who calls them has checked. `operation.py` says what they all have in common.
"""

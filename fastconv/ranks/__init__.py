"""Processes that train one network together, and what they say to each other over MPI.

communicator.py   `Ranks` of a communicator, and `ALONE`: the calls of MPI
agreement.py      errors that are raised on all ranks, and the check that all make the same call
spread.py         rows that lie with several ranks, and how they come to others
"""

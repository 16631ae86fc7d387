"""Processes that train one network together, and what they say to each other over MPI.

communicator.py   `Ranks` of a communicator, and `ALONE`: the calls of MPI
agreement.py      errors that are raised on all ranks, and the check that all make the same call
watch.py          what becomes of all where one raises an error, hangs, is killed or ends too soon
heart.py          the thread by which they know of each other's life
witness.py        the process that says how a rank was killed
early.py          errors before there are `Ranks`
errors.py         what is raised where another rank has ended
spread.py         rows that lie with several ranks, and how they come to others
"""

"""Processes that train one network together: see `communicator.py`."""

"""What comes in: arguments (one code for Python and for @njit), settings, optional packages."""

# cython: language_level=3
"""Compiled frame unit."""

"""Shell: the one thing that pyproject.toml cannot say - which C extension is built by cffi."""

from setuptools import setup

setup(cffi_modules=["ringbuf/_native_build.py:ffibuilder"])

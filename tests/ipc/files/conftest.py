"""The desk of the workers' tests: an object's key and a row are made of a job that has come all the way."""

from tests.workers.conftest import desk

__all__ = ["desk"]

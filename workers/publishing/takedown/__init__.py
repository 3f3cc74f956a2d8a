"""Takedown: the objects of posts that somebody has deleted or hidden, and a CDN's copies of them, go after a while."""

from workers.publishing.takedown.takedowns import Takedowns

__all__ = ["Takedowns"]

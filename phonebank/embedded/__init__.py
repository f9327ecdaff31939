"""The private PostgreSQL: its binaries, its folder and its life cycle. A leaf: it imports nothing of phonebank."""

from __future__ import annotations

from .check import DatabaseUnavailable, check_server
from .cluster import Cluster
from .home import data_home
from .throwaway import ephemeral

__all__ = ["Cluster", "DatabaseUnavailable", "check_server", "data_home", "ephemeral"]

"""Faults of WebDAV servers."""

from __future__ import annotations

from proxied import OnApache, OnRclone

from . import FaultConformance, Protocol


class TestApache(OnApache, FaultConformance):
    pass


class TestRclone(OnRclone, FaultConformance):
    protocol = Protocol(commits=lambda method, target, headers: method == "MOVE")

"""Faults of WebDAV servers."""

from __future__ import annotations

from proxied import OnApache, OnRclone

from . import Protocol, WriteFaultConformance


class TestApache(OnApache, WriteFaultConformance):
    protocol = Protocol(deletes_by="DELETE")


class TestRclone(OnRclone, WriteFaultConformance):
    protocol = Protocol(
        deletes_by="DELETE", commits=lambda method, target, headers: method == "MOVE"
    )

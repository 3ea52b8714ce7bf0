"""Faults of web servers."""

import pytest
from proxied import OnNginx

from . import ReadFaultConformance


class TestNginx(OnNginx, ReadFaultConformance):
    pass


@pytest.mark.slow
class TestNginxByAiohttp(TestNginx):
    transport = "library"
